/**
 * Several objectives at once: sentiment, length and diversity, weighted as 0.5, 0.3 and 0.2. Metrics have each part too.
 *
 *     deno run --allow-read --allow-env examples/multi_objective.ts [steps]
 */
import {
  CompositeReward,
  DiversityReward,
  Gpu,
  LengthReward,
  loadReward,
  PpoTrainer,
} from "@kl-guard/kl-guard";

const steps = Number(Deno.args[0] ?? 30);
using gpu = await Gpu.open(); // for the sentiment classifier and the policy together
using reward = new CompositeReward([
  { reward: await loadReward("sentiment", { gpu }), weight: 0.5 },
  { reward: new LengthReward({ target: 15, tolerance: 5 }), weight: 0.3 },
  { reward: new DiversityReward(), weight: 0.2 },
]);
using trainer = await PpoTrainer.create({ gpu, reward, steps, batchSize: 16 });
await trainer.train({
  callbacks: [{
    onStepEnd(_, { metrics }) {
      const parts = ["sentiment", "length", "diversity"]
        .map((name) => `${name} ${metrics[`rewards/${name}/mean`]?.toFixed(3)}`);
      const total = metrics["objective/scores"].toFixed(3);
      console.log(`step ${metrics.step}: ${total} = weighted ${parts.join(", ")}`);
    },
  }],
});
