/**
 * Callbacks: one of your own that steers the KL target and stops when the reward is high enough, beside one that
 * comes with the package.
 *
 *     deno run --allow-read --allow-env examples/callback.ts [steps]
 */
import { earlyStopping, PpoTrainer, type TrainerCallback } from "@kl-guard/kl-guard";

const watcher: TrainerCallback = {
  onStepBegin(trainer, step) {
    console.log(`starting step ${step}`);
    if (step === 10) trainer.run.controller.steer({ target: 0.02 }); // nats per token, from here on
  },
  onStepEnd(trainer, { metrics }) {
    if (metrics["objective/scores"] > 1) {
      console.log("high reward: done");
      trainer.stop();
    }
  },
  onTrainEnd(trainer) {
    console.log(`trained for ${trainer.steps} steps`);
  },
};

const steps = Number(Deno.args[0] ?? 30);
using trainer = await PpoTrainer.create({ steps, batchSize: 16 });
await trainer.train({ callbacks: [watcher, earlyStopping({ patience: 20 })] });
