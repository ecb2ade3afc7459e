/** One PPO step on a few prompts, in sections for people: every tensor that it makes, by name, shape and numbers. */

import { type Experience, scoreRollout } from "./experience.ts";
import type { UpdateStats } from "./metrics.ts";
import { advantagesOf, type PpoRun, updatePolicy } from "./ppo.ts";
import { type Rollout, sampleRollout } from "./rollout.ts";
import { adjustScores } from "./score_normaliser.ts";
import { scoreStep } from "./scoring.ts";
import { maskedMean } from "./stats.ts";
import { tokenRecords } from "./token_records.ts";
import { whiten } from "./whiten.ts";

/** A tensor of the step. */
export interface ExplainedTensor {
  name: string;
  /** As it is laid out: "(B, R) = (2, 8) nats". */
  shape: string;
  doc: string;
  /** One row for each response, or of each optimizer step; a row may be shorter than the shape, where the rest is padding. */
  rows: number[][];
  /** What the columns are, for each row: tokens of a response, names of statistics. */
  columns: string[][];
}

/** A part of the step. */
export interface ExplainedSection {
  title: string;
  /** What is computed, and where that is from. */
  formulas: { formula: string; source: string }[];
  /** The function that computes it, and its kernels. */
  code: string;
  tensors: ExplainedTensor[];
  /** One element worked out by hand, and what to look at. */
  notes: string[];
}

/**
 * Takes one PPO step with the functions that training takes it with, and tells what they did.
 *
 * The guard does not watch, and the step is not counted by any trainer.
 *
 * @param step Number of the step, a key of the random numbers.
 */
export async function* explainStep(
  run: PpoRun,
  prompts: readonly string[],
  { step }: { step: number },
): AsyncGenerator<ExplainedSection, void> {
  const { policy, config, controller } = run;
  const rollout = await sampleRollout(policy, prompts, { ...config, step });
  const show = new Shower(run, rollout);
  yield explainPrompts(show);
  yield explainResponses(show);

  const { scores, scoreProblem } = await scoreStep(run, rollout.samples);
  const adjusted = scoreProblem ? scores : adjustScores(scores, run.scoreNormaliser, config);
  yield explainScores(show, scores);

  const experience = await scoreRollout(run, rollout, config);
  yield explainExperience(show, experience);
  const estimates = advantagesOf(run, rollout, experience, adjusted);
  yield explainKl(show, experience, estimates.klPenalty);
  yield explainRewards(show, estimates, adjusted);
  yield explainAdvantages(show, experience, estimates);

  const { beta } = controller;
  const { learningRate } = config;
  const batch = { rollout, experience, ...estimates };
  const updates = await updatePolicy(run, batch, { beta, learningRate });
  yield explainUpdates(show, updates);
  const after = await scoreRollout(run, rollout, config);
  yield explainRatios(show, experience, after);

  const kl = maskedMean(estimates.klPenalty, rollout.mask);
  controller.update(kl, prompts.length);
  yield explainController(show, { kl, beta });
}

/** Makes sections' tensors, with the columns and shapes of one rollout. */
class Shower {
  readonly tokens: string[][];
  readonly #shapes: string;

  constructor(readonly run: PpoRun, readonly rollout: Rollout) {
    const { mask, R } = rollout;
    this.tokens = mask.map((_, b) =>
      tokenRecords(run.policy.tokenizer, rollout, b, { kl: mask }).map(({ text }) => text)
    );
    this.#shapes = `(B, R) = (${mask.length}, ${R})`;
  }

  /** A number for each response token; what lies outside the mask is left out. */
  perToken(name: string, unit: string, doc: string, rows: readonly number[][]): ExplainedTensor {
    const { mask } = this.rollout;
    const inside = rows.map((row, b) => row.filter((_, r) => mask[b][r] === 1));
    return {
      name,
      shape: `${this.#shapes} ${unit}`.trim(),
      doc,
      rows: inside,
      columns: this.tokens,
    };
  }

  /** The first response with tokens, and the place of its last one: what notes work out. */
  get example(): { b: number; last: number } {
    const b = Math.max(0, this.rollout.responseLengths.findIndex((length) => length > 0));
    return { b, last: this.rollout.responseLengths[b] - 1 };
  }
}

function explainPrompts({ run, rollout }: Shower): ExplainedSection {
  const { inputIds, attentionMask, Q, R, queryLengths } = rollout;
  const { tokenizer } = run.policy;
  const ids = inputIds.map((row) => row.slice(0, Q));
  const columns = ids.map((row, b) =>
    row.map((id, q) => attentionMask[b][q] === 1 ? tokenizer.decode([id]) : "(pad)")
  );
  return {
    title: "Prompts become token ids",
    formulas: [],
    code: "encodePrompts() in train/rollout.ts",
    tensors: [{
      name: "input_ids",
      shape: `(B, Q) = (${ids.length}, ${Q}) of (B, Q + R) = (${ids.length}, ${Q + R})`,
      doc: "padded on the left, so that every response begins in the same column",
      rows: ids,
      columns,
    }],
    notes: [`prompt lengths ${queryLengths.join(", ")}; padding is masked out of attention`],
  };
}

function explainResponses({ run, rollout, tokens }: Shower): ExplainedSection {
  const { inputIds, mask, Q, R, ended, samples } = rollout;
  const rows = inputIds.map((row, b) => row.slice(Q).filter((_, r) => mask[b][r] === 1));
  return {
    title: "The policy samples a response to each",
    formulas: [{
      formula: "a_t ~ softmax(logits_t / temperature)",
      source: "Ziegler et al. 2019 (arXiv:1909.08593) section 2",
    }],
    code: "sampleRollout() in train/rollout.ts; kernels/sample.wgsl",
    tensors: [{
      name: "response ids",
      shape: `(B, R) = (${mask.length}, ${R})`,
      doc: `temperature ${run.config.temperature}`,
      rows,
      columns: tokens,
    }],
    notes: samples.map(({ text }, b) =>
      `${JSON.stringify(text)}, ${ended[b] ? "ended by itself" : "cut off at the limit"}`
    ),
  };
}

function explainScores({ run, rollout }: Shower, scores: number[]): ExplainedSection {
  return {
    title: "The reward scores each text",
    formulas: [],
    code: `reward ${run.reward.name}; see reward/`,
    tensors: [{
      name: "scores",
      shape: `(B) = (${scores.length})`,
      doc: "one number for a whole response: all that the policy is told",
      rows: scores.map((score) => [score]),
      columns: rollout.samples.map(() => ["score"]),
    }],
    notes: [],
  };
}

function explainExperience(
  show: Shower,
  { logprobs, entropy, values }: Experience,
): ExplainedSection {
  const { b } = show.example;
  return {
    title: 'What the policy that sampled thinks of its tokens: PPO\'s "old" numbers',
    formulas: [
      {
        formula: "logprob_t = z[a_t] - logsumexp(z),  z = logits_t / temperature",
        source: "shifted by its maximum: Blanchard, Higham & Higham 2021",
      },
      { formula: "entropy_t = logsumexp(z) - sum softmax(z) * z", source: "Shannon 1948" },
      {
        formula: "value_t = w . hidden_t + c",
        source: "a linear head on the trunk, 0 at the beginning",
      },
    ],
    code: "scoreRollout() in train/experience.ts; kernels/token_logprobs.wgsl, model/value_head.ts",
    tensors: [
      show.perToken("logprobs", "nats", "of the sampled tokens", logprobs),
      show.perToken("entropy", "nats", "of the whole distribution", entropy),
      show.perToken("values", "", "the score that is expected before the token", values),
    ],
    notes: [
      `the first token ${JSON.stringify(show.tokens[b][0])} of response ${b} had the probability ` +
      `exp(${digits(logprobs[b][0])}) = ${digits(Math.exp(logprobs[b][0]))}`,
    ],
  };
}

function explainKl(
  show: Shower,
  { logprobs, refLogprobs, klFull }: Experience,
  klPenalty: number[][],
): ExplainedSection {
  const { rollout: { mask }, run: { config } } = show;
  const { b, last } = show.example;
  const logRatio = logprobs[b][last] - refLogprobs[b][last];
  const tensors = [
    show.perToken(
      "refLogprobs",
      "nats",
      "of the same tokens, by the frozen reference",
      refLogprobs,
    ),
    show.perToken("klFull", "nats", "exact, over the whole vocabulary", klFull),
  ];
  if (config.klEstimator !== "full") {
    tensors.push(
      show.perToken("klPenalty", "nats", `the estimate ${config.klEstimator}`, klPenalty),
    );
  }
  return {
    title: "How far the policy has gone from the reference",
    formulas: [{
      formula: "KL_t = sum_v pi(v) * (log pi(v) - log pi_ref(v))",
      source: "Kullback & Leibler 1951; estimates: Schulman 2020, Approximating KL divergence",
    }],
    code: "scoreRollout() in train/experience.ts; kernels/kl.wgsl",
    tensors,
    notes: [
      `last token of response ${b}: logprob - refLogprob = ${digits(logprobs[b][last])} - ` +
      `${digits(refLogprobs[b][last])} = ${digits(logRatio)}, whose mean over tokens is the KL`,
      `mean ${digits(maskedMean(klFull, mask))} nats per token; target ${config.klTarget}`,
    ],
  };
}

type Estimates = ReturnType<typeof advantagesOf>;

function explainRewards(
  show: Shower,
  { rewards, klPenalty }: Estimates,
  scores: readonly number[],
): ExplainedSection {
  const { run: { config, controller } } = show;
  const { b, last } = show.example;
  const inReward = config.klMode === "reward";
  const beta = inReward ? controller.beta : 0;
  return {
    title: "The score becomes a reward per token",
    formulas: [{
      formula: inReward
        ? "r_t = -beta * KL_t, and + score at the last token"
        : "r_t = 0, but score at the last token; the KL is a term of the loss (--kl-mode reward: here)",
      source: "Ziegler et al. 2019 (arXiv:1909.08593) equation 2",
    }],
    code: "tokenRewards() in train/rewards.ts",
    tensors: [show.perToken("rewards", "", `beta ${digits(controller.beta)}`, rewards)],
    notes: [
      `last token of response ${b}: -${digits(beta)} * ${digits(klPenalty[b][last])} + ` +
      `${digits(scores[b])} = ${digits(rewards[b][last])}`,
    ],
  };
}

function explainAdvantages(
  show: Shower,
  { values }: Experience,
  { rewards, advantages, returns }: Estimates,
): ExplainedSection {
  const { rollout: { mask }, run: { config } } = show;
  const { b, last } = show.example;
  const tensors = [
    show.perToken("advantages", "", "how much better than expected", advantages),
    show.perToken("returns", "", "what the value should have been", returns),
  ];
  if (config.whitenAdvantages) {
    const whitened = whiten(advantages, mask);
    tensors.push(show.perToken("whitened", "", "advantages at mean 0, variance 1", whitened));
  }
  return {
    title: "Which tokens were better than expected",
    formulas: [
      {
        formula: "delta_t = r_t + gamma * V_{t+1} - V_t;  A_t = delta_t + gamma * lambda * A_{t+1}",
        source: "GAE: Schulman et al. 2016 (arXiv:1506.02438) equations 11, 12 and 16",
      },
      { formula: "return_t = A_t + V_t;  whitened = (A - mean) / sqrt(var + 1e-8)", source: "TRL" },
    ],
    code: "gae() in train/gae.ts, whiten() in train/whiten.ts",
    tensors,
    notes: [
      `last token of response ${b}, after which V and A are 0: ` +
      `${digits(rewards[b][last])} - ${digits(values[b][last])} = ${digits(advantages[b][last])}`,
      `gamma ${config.gamma}, lambda ${config.lambda}`,
    ],
  };
}

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

function explainUpdates({ run: { config, controller } }: Shower, updates: UpdateStats[]) {
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
      shape: `one row an optimizer step, before it`,
      doc: `learning rate ${learningRate}, largest gradient norm ${maxGradNorm}`,
      rows: updates.map((stats) => STATISTICS.map(([, of]) => Number(stats[of]))),
      columns: updates.map(() => STATISTICS.map(([name]) => name)),
    }],
    notes: [],
  };
  if (first) {
    section.notes.push(
      `the first loss: ${digits(first.policyLoss)} + ${valueCoef} * ${digits(first.valueLoss)} - ` +
        `${entropyCoef} * ${digits(first.entropy)} + ${digits(beta)} * ${digits(first.kl)} = ` +
        digits(first.totalLoss),
      `the first ratio is exactly 1: the policy has not moved since it sampled`,
    );
  }
  return section;
}

function explainRatios(
  show: Shower,
  { logprobs }: Experience,
  after: Experience,
): ExplainedSection {
  const { run: { config: { clipRange } }, rollout: { mask } } = show;
  const ratios = mask.map((row, b) =>
    row.map((bit, r) => bit === 0 ? 0 : Math.exp(after.logprobs[b][r] - logprobs[b][r]))
  );
  const inside = ratios.flatMap((row, b) => row.filter((_, r) => mask[b][r] === 1));
  const beyond = inside.filter((ratio) => Math.abs(ratio - 1) > clipRange).length;
  return {
    title: "What the step has done to the same tokens",
    formulas: [{ formula: "ratio_t = pi_new(a_t) / pi_old(a_t)", source: "the same, section 3" }],
    code: "scoreRollout() once more",
    tensors: [
      show.perToken("logprobs", "nats", "of the same tokens now", after.logprobs),
      show.perToken("ratio", "", "above 1: has become more probable", ratios),
      show.perToken("klFull", "nats", "to the reference, now", after.klFull),
    ],
    notes: [
      `${beyond} of ${inside.length} ratios are beyond 1 +- ${clipRange}: clipping stops their ` +
      "gradient, but other tokens and Adam's momentum may still move them",
    ],
  };
}

function explainController(
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

/** As numbers stand everywhere in an explanation. */
export function digits(x: number): string {
  return x.toFixed(4);
}
