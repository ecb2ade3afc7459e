/**
 * One PPO step in its parts: sample, score, measure against the reference, estimate advantages, update.
 *
 *     deno run --allow-read --allow-env examples/separate_calls.ts [steps]
 */
import {
  advantagesOf,
  PpoTrainer,
  sampleRollout,
  scoreRollout,
  scoreSamples,
  updatePolicy,
} from "@kl-guard/kl-guard";

const steps = Number(Deno.args[0] ?? 5);
const prompts = ["The movie was", "I think this product is", "My experience at the restaurant was"];

using trainer = await PpoTrainer.create({ batchSize: prompts.length, miniBatchSize: 1 });
const { run, config } = trainer;
for (let step = 0; step < steps; step++) {
  const rollout = await sampleRollout(run.policy, prompts, { ...config, step });
  const { scores } = await scoreSamples(run.reward, rollout.samples);
  const experience = await scoreRollout(run, rollout, config);
  const { klPenalty, ...estimates } = advantagesOf(run, rollout, experience, scores);
  const batch = { rollout, experience, ...estimates };
  const { beta } = run.controller;
  const updates = await updatePolicy(run, batch, { beta, learningRate: 1e-5 });

  const kl = klPenalty.flat().reduce((sum, x) => sum + x, 0) /
    rollout.responseLengths.reduce((sum, length) => sum + length, 0);
  run.controller.update(kl, prompts.length);
  const ratio = Math.max(...updates.map(({ ratioMax }) => ratioMax));
  console.log(`step ${step + 1}: KL ${kl.toFixed(4)} nats/token, largest ratio ${ratio}`);
}
