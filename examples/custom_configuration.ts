/**
 * Settings of your own, checked before anything is loaded; all of them are in `deno task train --help`.
 *
 *     deno run --allow-read --allow-env examples/custom_configuration.ts [steps]
 */
import { ConfigError, PpoTrainer, progress } from "@kl-guard/kl-guard";

try {
  await PpoTrainer.create({ klTarget: -1 });
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  console.log(error.message);
}

using trainer = await PpoTrainer.create({
  // model: "distilgpt2", // a folder or a model on the Hub, in place of the embedded one
  steps: Number(Deno.args[0] ?? 100),
  learningRate: 5e-6,
  lrSchedule: "linear",
  batchSize: 8,
  miniBatchSize: 4,
  klTarget: 0.02, // nats per token
  klCoef: 0.5,
  temperature: 0.8,
  maxLength: 40,
  seed: 3,
});
await trainer.train({ callbacks: [progress(console.log)] });
