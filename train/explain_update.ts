/** Sections of an explained PPO step, from the update on: formulas, their sources, and an element worked out. */

import type { ParameterChange } from "./explain_parameters.ts";
import { digits, type ExplainedSection, type Shower, term } from "./explain_tensors.ts";
import type { Experience } from "./experience.ts";
import type { UpdateStats } from "./metrics.ts";

/** Statistics of an optimizer step, as columns. */
const STATISTICS: readonly [name: string, of: keyof UpdateStats][] = [
  ["policy", "policyLoss"],
  ["value", "valueLoss"],
  ["entropy", "entropy"],
  ["KL", "kl"],
  ["loss", "totalLoss"],
  ["ratio", "ratioMean"],
  ["clipped", "clipFraction"],
  ["grad norm", "gradNorm"],
];

/** Part 8: losses, ratios and gradient norms of the optimizer steps. */
export function explainUpdates(
  { run: { config, controller } }: Shower,
  updates: UpdateStats[],
): ExplainedSection {
  const { clipRange, valueCoef, entropyCoef, learningRate, maxGradNorm } = config;
  const beta = config.klMode === "loss" ? controller.beta : 0;
  const [first] = updates;
  const section: ExplainedSection = {
    title: `${updates.length} optimizer steps: ${config.epochs} epochs of minibatches`,
    formulas: [
      {
        formula: "ratio = exp(logprob - old);  policy = mean max(-A * ratio, -A * clip(ratio))",
        source: `Schulman et al. 2017 (arXiv:1707.06347) equation 7, clipped at 1 +- ${clipRange}`,
      },
      {
        formula: "value = mean max((V - return)^2, (clip(V) - return)^2) / 2",
        source: "openai/lm-human-preferences, train_policy.py",
      },
      {
        formula: "loss = policy + c1 * value - c2 * entropy + beta * KL",
        source: "the same paper, equation 9, with the KL to the reference",
      },
      {
        formula: "AdamW, after the gradient is scaled down to the largest norm",
        source: "Loshchilov & Hutter 2019 (arXiv:1711.05101)",
      },
    ],
    code: "updatePolicy() in train/ppo.ts; kernels/ppo_loss.wgsl, value_loss.wgsl, adamw.wgsl",
    tensors: [{
      name: "statistics",
      shape: "as they were before each optimizer step",
      doc: `learning rate ${learningRate}, largest gradient norm ${maxGradNorm}`,
      across: "figures",
      of: "optimizer step",
      rows: updates.map((stats) => STATISTICS.map(([, of]) => Number(stats[of]))),
      columns: updates.map(() => STATISTICS.map(([name]) => name)),
    }],
    notes: [],
  };
  if (first) {
    section.notes.push(
      `the first loss: ${term(first.policyLoss)} + ${valueCoef} * ${digits(first.valueLoss)} - ` +
        `${entropyCoef} * ${digits(first.entropy)} + ${digits(beta)} * ${digits(first.kl)} = ` +
        term(first.totalLoss),
      "the first ratio is exactly 1: the policy has not moved since it sampled",
    );
  }
  return section;
}

/** Part 9: the same tokens after the step. */
export function explainRatios(
  show: Shower,
  { logprobs }: Experience,
  { advantages, after }: { advantages: number[][]; after: Experience },
): ExplainedSection {
  const { run: { config: { clipRange } }, rollout: { mask } } = show;
  const ratios = mask.map((row, b) =>
    row.map((bit, r) => bit === 0 ? 0 : Math.exp(after.logprobs[b][r] - logprobs[b][r]))
  );
  const losses = ratios.map((row, b) =>
    row.map((ratio, r) => {
      const clipped = Math.min(Math.max(ratio, 1 - clipRange), 1 + clipRange);
      return Math.max(-advantages[b][r] * ratio, -advantages[b][r] * clipped);
    })
  );
  const inside = ratios.flatMap((row, b) => row.filter((_, r) => mask[b][r] === 1));
  const beyond = inside.filter((ratio) => Math.abs(ratio - 1) > clipRange).length;
  return {
    title: "What the step has done to the same tokens",
    formulas: [{
      formula: "ratio_t = pi_new(a_t) / pi_old(a_t);  loss_t = max(-A * ratio, -A * clip(ratio))",
      source: "the same, section 3 and equation 7",
    }],
    code: "scoreRollout() once more",
    tensors: [
      show.perToken("logprobs", "nats", "of the same tokens now", after.logprobs),
      show.perToken("ratio", "", "above 1: has become more probable", ratios, { neutral: 1 }),
      show.perToken("policy loss", "", "of the token, as it would be now", losses),
      show.perToken("klFull", "nats", "to the reference, now", after.klFull),
    ],
    notes: [
      `${beyond} of ${inside.length} ratios are beyond 1 +- ${clipRange}: clipping stops the ` +
      "gradient that would take them further, but other tokens and Adam's momentum still move them",
    ],
  };
}

/** Part 10: how far the parameters went. */
export function explainParameters(
  { run: { config: { learningRate } } }: Shower,
  { changes, updates }: { changes: readonly ParameterChange[]; updates: number },
): ExplainedSection {
  const inRates = (x: number) => learningRate === 0 ? 0 : x / learningRate;
  const names = ["count", "norm", "change", "change %", "most / lr"];
  const largest = Math.max(...changes.map(({ largest }) => inRates(largest)));
  return {
    title: "What that took: the change of the parameters",
    formulas: [{
      formula: "norm = |old|;  change = |new - old|;  |x| = sqrt(sum x^2)",
      source: "the Euclidean norm, over all tensors of a part",
    }],
    code: "ParameterSnapshot in train/explain_parameters.ts; kernels/adamw.wgsl moved them",
    tensors: [{
      name: "parameters",
      shape: `${changes.length} parts`,
      doc: "most / lr: the largest change of one, in learning rates",
      across: "figures",
      of: "part",
      labels: changes.map(({ part }) => part),
      rows: changes.map(({ count, norm, change, largest }) => [
        count,
        norm,
        change,
        norm === 0 ? 0 : 100 * change / norm,
        inRates(largest),
      ]),
      columns: changes.map(() => names),
    }],
    notes: [
      `in ${updates} optimizer steps no parameter has moved by more than ${
        digits(largest)
      } times ` +
      `the learning rate, ${learningRate}: AdamW divides a gradient by its usual size`,
    ],
  };
}

/** Part 11: the new weight of the KL. */
export function explainController(
  { run: { config, controller } }: Shower,
  { kl, beta }: { kl: number; beta: number },
): ExplainedSection {
  return {
    title: "The controller moves the weight of the KL",
    formulas: [{
      formula: config.klController === "band"
        ? `KL above 1.5 * target: beta * ${config.klFactor}; below target / 1.5: beta / ${config.klFactor}`
        : `controller ${config.klController}`,
      source: config.klController === "proportional"
        ? "Ziegler et al. 2019 (arXiv:1909.08593) section 2.2"
        : "Schulman et al. 2017 (arXiv:1707.06347) section 4, with a smaller factor",
    }],
    code: "KlDivergenceController in train/kl_controller.ts",
    tensors: [],
    notes: [
      `KL ${digits(kl)}, target ${config.klTarget}: beta ${digits(beta)} -> ${
        digits(controller.beta)
      }`,
    ],
  };
}
