/**
 * A training loop of your own: you choose the prompts of each step, and what is done with its numbers.
 *
 *     deno run --allow-read --allow-env examples/custom_loop.ts [epochs]
 */
import { PpoTrainer } from "@kl-guard/kl-guard";

const epochs = Number(Deno.args[0] ?? 5);
const batches = [
  ["The movie was", "This book is", "I feel that", "The experience was"],
  ["In my opinion", "This product is", "My thoughts on", "Overall, it was"],
];

using trainer = await PpoTrainer.create({
  steps: epochs * batches.length, // where the learning rate's schedule ends
  batchSize: 4,
  miniBatchSize: 2,
  learningRate: 2e-5, // the default is for batches of many more
});
for (let epoch = 1; epoch <= epochs; epoch++) {
  for (const prompts of batches) {
    const { metrics, samples: [sample] } = await trainer.trainStep(prompts);
    console.log(
      `epoch ${epoch}, step ${trainer.steps}: reward ${metrics["objective/scores"].toFixed(3)}, ` +
        `KL ${metrics["objective/kl_full"].toFixed(4)} nats/token, ` +
        JSON.stringify(sample.prompt + sample.response),
    );
  }
}

const { history, beta } = trainer.run.controller;
console.log(`KL values: ${history.map((kl) => kl.toFixed(4)).join(", ")}; beta is now ${beta}`);
