/**
 * A reward of your own: here one that likes questions.
 *
 *     deno run --allow-read --allow-env examples/custom_reward.ts [steps]
 */
import { PpoTrainer, progress, type Reward } from "@kl-guard/kl-guard";

const questions: Reward = {
  name: "questions",
  score: (samples) => samples.map(({ response }) => response.split("?").length - 1),
};

const steps = Number(Deno.args[0] ?? 30);
using trainer = await PpoTrainer.create({ reward: questions, steps, batchSize: 16 });
await trainer.train({ callbacks: [progress(console.log)] });

const { meanScore, samples } = await trainer.evaluate(["The movie was", "I think this product is"]);
for (const { prompt, response, score } of samples) {
  console.log(`${score.toFixed(2)}  ${JSON.stringify(prompt + response)}`);
}
console.log(`mean score ${meanScore.toFixed(3)}`);
