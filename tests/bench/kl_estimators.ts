/**
 * What the estimates of the KL from the sampled token are worth beside the exact KL over the vocabulary.
 *
 *     deno run --allow-read --allow-env tests/bench/kl_estimators.ts runs/a/checkpoints/step-000075 [responses]
 *
 * Samples responses from a trained policy, and prints mean and standard deviation of each estimate over their tokens.
 */
import { Gpu } from "../../kernels/runtime/mod.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { scoreRollout } from "../../train/experience.ts";
import { estimateKl } from "../../train/kl_estimators.ts";
import { EMBEDDED_POLICY } from "../../train/open_run.ts";
import { HELD_OUT_PROMPTS } from "../../train/prompts.ts";
import { sampleRollout } from "../../train/rollout.ts";
import { maskedValues } from "../../train/rows.ts";
import { mean, standardDeviation } from "../../train/stats.ts";

/** Responses at a time. */
const BATCH = 48;
const ESTIMATORS = ["k1", "k2", "k3", "abs"] as const;

const [folder, responses = "480"] = Deno.args;
using gpu = await Gpu.open();
using policy = await loadCausalLM(gpu, folder);
using reference = await loadCausalLM(gpu, EMBEDDED_POLICY);

const perToken: Record<string, number[]> = { exact: [], k1: [], k2: [], k3: [], abs: [] };
for (let at = 0; at < Number(responses); at += BATCH) {
  const prompts = Array.from(
    { length: BATCH },
    (_, i) => HELD_OUT_PROMPTS[(at + i) % HELD_OUT_PROMPTS.length],
  );
  const rollout = await sampleRollout(policy, prompts, {
    maxLength: 80,
    maxNewTokens: 24,
    step: at,
  });
  const { mask } = rollout;
  const experience = await scoreRollout({ policy, reference }, rollout, { temperature: 1 });
  perToken.exact.push(...maskedValues(experience.klFull, mask));
  for (const estimator of ESTIMATORS) {
    perToken[estimator].push(...maskedValues(estimateKl({ ...experience, mask }, estimator), mask));
  }
}

console.log(`${perToken.exact.length} tokens\n`);
console.log("| | mean, nats per token | standard deviation | standard error of the mean |");
console.log("|" + " --- |".repeat(4));
for (const [name, values] of Object.entries(perToken)) {
  const deviation = standardDeviation(values);
  const cells = [mean(values), deviation, deviation / Math.sqrt(values.length)];
  console.log(`| ${[name, ...cells.map((cell) => cell.toFixed(4))].join(" | ")} |`);
}
