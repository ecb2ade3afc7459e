/** Sections of an explained PPO step, up to the advantages: formulas, their sources, and an element worked out. */

import { digits, type ExplainedSection, type Shower, term } from "./explain_tensors.ts";
import type { Experience } from "./experience.ts";
import type { advantagesOf } from "./ppo.ts";
import { maskedMean } from "./stats.ts";
import { whiten } from "./whiten.ts";

/** Part 1: token ids, and their padding. */
export function explainPrompts({ run, rollout }: Shower): ExplainedSection {
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
      across: "tokens",
      of: "prompt",
      rows: ids,
      columns,
    }],
    notes: [`prompt lengths ${queryLengths.join(", ")}; nothing is computed of the padding`],
  };
}

/** Part 2: the sampled ids, and the texts they are. */
export function explainResponses({ run, rollout, tokens }: Shower): ExplainedSection {
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
      across: "tokens",
      of: "response",
      rows,
      columns: tokens,
    }],
    notes: samples.map(({ text }, b) =>
      `${JSON.stringify(text)}, ${ended[b] ? "ended by itself" : "cut off at the limit"}`
    ),
  };
}

/** Part 3: what the reward says. */
export function explainScores({ run, rollout }: Shower, scores: number[]): ExplainedSection {
  return {
    title: "The reward scores each text",
    formulas: [],
    code: `reward ${run.reward.name}; see reward/`,
    tensors: [{
      name: "scores",
      shape: `(B) = (${scores.length})`,
      doc: "one number for a whole response: all that the policy is told",
      across: "figures",
      of: "response",
      neutral: 0,
      rows: scores.map((score) => [score]),
      columns: rollout.samples.map(() => ["score"]),
    }],
    notes: [],
  };
}

/** Part 4: old log-probabilities, entropy and values. */
export function explainExperience(
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

/** Part 5: the reference, and the KL to it. */
export function explainKl(
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
      `last token of response ${b}: logprob - refLogprob = ${term(logprobs[b][last])} - ` +
      `${term(refLogprobs[b][last])} = ${
        term(logRatio)
      }, an estimate of the KL from one sample (k1)`,
      `mean ${digits(maskedMean(klFull, mask))} nats per token; target ${config.klTarget}`,
    ],
  };
}

type Estimates = ReturnType<typeof advantagesOf>;

/** Part 6: rewards per token. */
export function explainRewards(
  show: Shower,
  { rewards, klPenalty }: Estimates,
  scores: readonly number[],
): ExplainedSection {
  const { run: { config, controller } } = show;
  const { b, last } = show.example;
  const inReward = config.klMode === "reward";
  const { beta } = controller;
  return {
    title: "The score becomes a reward per token",
    formulas: [{
      formula: inReward
        ? "r_t = -beta * KL_t, plus the score at the last token"
        : "r_t = 0, plus the score at the last token",
      source: "Ziegler et al. 2019 (arXiv:1909.08593) equation 2",
    }],
    code: "tokenRewards() in train/rewards.ts",
    tensors: [show.perToken("rewards", "", `beta ${digits(beta)}`, rewards)],
    notes: [
      inReward
        ? `last token of response ${b}: -${digits(beta)} * ${term(klPenalty[b][last])} + ` +
          `${term(scores[b])} = ${term(rewards[b][last])}`
        : "the KL is a term of the loss; with --kl-mode reward it is charged here, token by token",
    ],
  };
}

/** Part 7: advantages and returns. */
export function explainAdvantages(
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
      `${term(rewards[b][last])} - ${term(values[b][last])} = ${term(advantages[b][last])}`,
      `gamma ${config.gamma}, lambda ${config.lambda}`,
    ],
  };
}
