/**
 * A fine-tuned start: supervised fine-tuning first, then PPO from the model that came out. Policy and frozen reference
 * both begin there, so that the KL is measured to the fine-tuned model. Any folder or model on the Hub does as well.
 *
 *     deno run --allow-read --allow-write --allow-env examples/fine_tuned_start.ts [steps]
 */
import { Gpu, loadCausalLM, padRight, PpoTrainer, progress, SftTrainer } from "@kl-guard/kl-guard";

const steps = Number(Deno.args[0] ?? 20);
const texts = [
  "The movie was a pleasure from the first scene to the last.",
  "This book is warm, funny and beautifully written.",
  "The food was fresh and the service was quick.",
];

using gpu = await Gpu.open();
const folder = await Deno.makeTempDir({ prefix: "fine-tuned-" });
{
  const embedded = new URL("../weights/review-gpt2", import.meta.url).pathname;
  using model = await loadCausalLM(gpu, embedded, { train: true });
  using sft = new SftTrainer(model, { learningRate: () => 1e-4 });
  const { encode, eosId } = model.tokenizer;
  const rows = padRight(texts.map((text) => [...encode(text), eosId]), eosId);
  for (let step = 1; step <= steps; step++) {
    const { loss } = await sft.step(rows);
    console.log(`sft step ${step}: loss ${loss.toFixed(4)} nats/token`);
  }
  await model.savePretrained(folder);
}

// With a model named the defaults are the classical ones: batches of 2, learning rate 1e-5.
using trainer = await PpoTrainer.create({ gpu, model: folder, steps, maxNewTokens: 24 });
await trainer.train({ callbacks: [progress(console.log)] });
console.log(`fine-tuned model in ${folder}`);
