import type { Scores } from "../reward/reward.ts";
import type { GuardReport } from "./guard.ts";
import { RULE_NAMES, type RuleName } from "./guard_rules.ts";
import {
  type DistributionName,
  type MetricName,
  PERCENTILES,
  type RewardMetrics,
} from "./metric_table.ts";
import { checkShapes, maskedRowSums, maskedValues, type Rows } from "./rows.ts";
import {
  explainedShare,
  maskedMean,
  mean,
  percentile,
  standardDeviation,
  sum,
  variance,
} from "./stats.ts";

/** What one optimizer step reports: means over its response tokens, in nats where not said. */
export interface UpdateStats {
  /** PPO's clipped loss. */
  policyLoss: number;
  /** Before its coefficient. */
  valueLoss: number;
  /** What was minimised: all terms with their coefficients. */
  totalLoss: number;
  /** Shannon entropy. */
  entropy: number;
  /** `(logprob - old)^2 / 2`. */
  approxKl: number;
  /** `old - logprob`. */
  policyKl: number;
  /** Share of tokens where the policy's clipping bit. */
  clipFraction: number;
  /** Mean of `exp(logprob - old)`. */
  ratioMean: number;
  /** Largest `exp(logprob - old)`. */
  ratioMax: number;
  /** Largest distance of the log-ratio from 0: exactly 0 before the policy has moved. */
  logRatioMax: number;
  /** Share of tokens where the value's clipping bit. */
  valueClipFraction: number;
  /** `(value - return)^2`, without clipping. */
  valueError: number;
  /** Mean of the value head's output, in the unit of the rewards. */
  valueMean: number;
  /** KL to the reference of the policy as it was in this update. */
  kl: number;
  /** Global norm before clipping. */
  gradNorm: number;
  /** Whether the optimizer step was skipped because the gradient was not finite. */
  skipped: boolean;
}

/** Where the time of a PPO step went, in seconds. */
export interface StepTimings {
  /** Sampling the responses. */
  generate: number;
  /** The reward. */
  score: number;
  /** Old log-probabilities and values, and the reference's log-probabilities. */
  forward: number;
  /** Token rewards, GAE and whitening. */
  advantages: number;
  /** All epochs of optimization. */
  update: number;
  /** The whole step, what is not listed included. */
  total: number;
}

/** All that a PPO step knows when it is over. B responses, R tokens; log-probabilities in nats. */
export interface PpoStepRecord {
  /** Index of the PPO step. */
  step: number;
  /** Responses sampled so far, this step included. */
  episode: number;
  /** KL coefficient as used in this step, before the controller moved it. */
  beta: number;
  /** KL that the controller holds in this step, nats per token. */
  klTarget: number;
  /** As used in this step. */
  learningRate: number;
  /** (B, R) 1 on response tokens; nothing outside is looked at. */
  mask: Rows;
  /** (B, R) of the policy that sampled. */
  logprobs: Rows;
  /** (B, R) of the reference. */
  refLogprobs: Rows;
  /** (B, R) nats, exact over the vocabulary. */
  klFull: Rows;
  /** (B, R) nats, by the chosen estimator. */
  klPenalty: Rows;
  /** (B, R) at sampling time. */
  values: Rows;
  /** (B, R) what the values are trained towards. */
  returns: Rows;
  /** (B, R) before whitening. */
  advantages: Rows;
  /** (B, R) per token, as GAE saw them. */
  rewards: Rows;
  /** (B) of the reward. */
  scores: ArrayLike<number>;
  /** (B) the same as trained on: normalised, scaled, clipped. */
  adjustedScores: ArrayLike<number>;
  /** (B) each: what else the reward told, by name. */
  parts?: Scores["parts"] | undefined;
  /** Which of several rewards scored. */
  source?: Scores["source"] | undefined;
  /** (B) prompt tokens. */
  queryLengths: ArrayLike<number>;
  /** (B) response tokens, stop token included. */
  responseLengths: ArrayLike<number>;
  /** Responses that a stop token ended. */
  endedCount: number;
  /** Passes over the batch that were made. */
  epochsDone: number;
  /** One per optimizer step, in order. */
  updates: readonly UpdateStats[];
  /** Where the time went, in seconds. */
  timings: StepTimings;
  /** Response tokens that were sampled. */
  tokensGenerated: number;
  /** What the guard found, where it is on. */
  guard?: Pick<GuardReport, "events" | "figures"> | undefined;
}

/** One flat record per PPO step; {@linkcode METRICS} has units and meanings. NaN is "not measured". */
export type PpoMetrics = Record<MetricName, number> & RewardMetrics;

/**
 * The metrics of a PPO step. Only response tokens count: padding changes nothing.
 *
 * @throws {ShapeError} If a batch has another shape than the mask.
 */
export function ppoMetrics(record: PpoStepRecord): PpoMetrics {
  const { mask, logprobs, refLogprobs, klFull, klPenalty, values, returns, advantages, rewards } =
    record;
  checkShapes("compute metrics", mask, {
    logprobs,
    refLogprobs,
    klFull,
    klPenalty,
    values,
    returns,
    advantages,
    rewards,
  });
  const { beta, learningRate, scores, adjustedScores, queryLengths, responseLengths, timings } =
    record;
  const klSums = maskedRowSums(klPenalty, mask); // (B)
  const kl = mean(klSums);
  const klPerToken = maskedMean(klPenalty, mask);
  const score = mean(scores);
  const adjustedScore = mean(adjustedScores);
  const returnValues = maskedValues(returns, mask);
  const oldValues = maskedValues(values, mask);
  const returnsVar = variance(returnValues);
  const residuals = returnValues.map((R, n) => R - oldValues[n]);

  const updates = record.updates.filter(({ skipped }) => !skipped);
  type Measured = Exclude<keyof UpdateStats, "skipped">;
  const overUpdates = (summary: (xs: number[]) => number, key: Measured) =>
    updates.length === 0 ? NaN : summary(updates.map((update) => update[key]));
  const average = (key: Measured) => overUpdates(mean, key);
  const policyLoss = average("policyLoss");
  const valueLoss = average("valueLoss");
  const entropy = average("entropy");
  const approxKl = average("approxKl");
  const clipFraction = average("clipFraction");
  const valueClipFraction = average("valueClipFraction");
  const ratio = average("ratioMean");
  const valueError = average("valueError");

  return {
    "step": record.step,
    "episode": record.episode,

    "objective/kl": kl,
    "objective/kl_per_token": klPerToken,
    "objective/kl_full": maskedMean(klFull, mask),
    "objective/kl_coef": beta,
    "objective/kl_target": record.klTarget,
    "objective/entropy": -mean(maskedRowSums(logprobs, mask)),
    "objective/non_score_reward": -beta * kl,
    "objective/rlhf_reward": adjustedScore - beta * kl,
    "objective/scores": score,
    ...percentiles("objective/kl_dist", klSums),
    ...percentiles("objective/logprobs", maskedValues(logprobs, mask)),
    ...percentiles("objective/ref_logprobs", maskedValues(refLogprobs, mask)),

    "ppo/mean_scores": adjustedScore,
    "ppo/std_scores": standardDeviation(adjustedScores),
    "ppo/mean_non_score_reward": -beta * klPerToken,
    "ppo/rewards_mean": mean(maskedRowSums(rewards, mask)),
    "ppo/learning_rate": learningRate,
    "ppo/epochs_done": record.epochsDone,
    "ppo/grad_norm": average("gradNorm"),
    "ppo/skipped": record.updates.length - updates.length,

    "ppo/loss/policy": policyLoss,
    "ppo/loss/value": valueLoss,
    "ppo/loss/total": average("totalLoss"),

    "ppo/policy/entropy": entropy,
    "ppo/policy/clipfrac": clipFraction,
    "ppo/policy/approxkl": approxKl,
    "ppo/policy/policykl": average("policyKl"),
    "ppo/policy/refkl": average("kl"),
    "ppo/policy/ratio": ratio,
    "ppo/policy/ratio_max": overUpdates((xs) => Math.max(...xs), "ratioMax"),
    "ppo/policy/advantages_mean": maskedMean(advantages, mask),
    ...percentiles("ppo/policy/advantages", maskedValues(advantages, mask)),

    "ppo/returns/mean": mean(returnValues),
    "ppo/returns/var": returnsVar,
    "ppo/val/mean": mean(oldValues),
    "ppo/val/var": variance(oldValues),
    "ppo/val/vpred": average("valueMean"),
    "ppo/val/error": valueError,
    "ppo/val/clipfrac": valueClipFraction,
    "ppo/val/var_explained": explainedShare(valueError, returnsVar),
    "critic/vf_explained_var": explainedShare(variance(residuals), returnsVar + 1e-5),

    "tokens/queries_len_mean": mean(queryLengths),
    "tokens/queries_len_std": standardDeviation(queryLengths),
    ...percentiles("tokens/queries_dist", queryLengths),
    "tokens/responses_len_mean": mean(responseLengths),
    "tokens/responses_len_std": standardDeviation(responseLengths),
    ...percentiles("tokens/responses_dist", responseLengths),
    "env/reward_mean": score,
    "env/reward_std": standardDeviation(scores),
    ...percentiles("env/reward_dist", scores),
    ...rewardMetrics(record),
    ...guardMetrics(record.guard),

    "policy/approxkl_avg": approxKl,
    "policy/clipfrac_avg": clipFraction,
    "policy/entropy_avg": entropy,
    "loss/policy_avg": policyLoss,
    "loss/value_avg": valueLoss,
    "val/clipfrac_avg": valueClipFraction,
    "val/ratio": ratio,
    "val/ratio_var": overUpdates(variance, "ratioMean"),
    "val/num_eos_tokens": record.endedCount,
    "lr": learningRate,

    "eps": scores.length / timings.total,
    "perf/tokens_per_second": record.tokensGenerated / timings.total,
    "perf/total_num_tokens": sum(queryLengths) + sum(responseLengths),
    "timing_s/generate": timings.generate,
    "timing_s/score": timings.score,
    "timing_s/forward": timings.forward,
    "timing_s/advantages": timings.advantages,
    "timing_s/update": timings.update,
    "timing_s/total": timings.total,
    "time/ppo/forward_pass": timings.forward,
    "time/ppo/compute_advantages": timings.advantages,
    "time/ppo/optimize_step": timings.update,
    "time/ppo/total": timings.total,
  };
}

/** What the reward told beside its scores. */
function rewardMetrics(
  { parts = {}, source }: Pick<PpoStepRecord, "parts" | "source">,
): RewardMetrics {
  const metrics: RewardMetrics = {};
  for (const [name, numbers] of Object.entries(parts)) {
    metrics[`rewards/${name}/mean`] = mean(numbers);
    metrics[`rewards/${name}/std`] = standardDeviation(numbers);
  }
  if (source !== undefined) metrics["rewards/source"] = source;
  return metrics;
}

/** What the guard looked at. */
function guardMetrics(guard: PpoStepRecord["guard"]) {
  const figures = RULE_NAMES.map((name) => [`guard/${name}`, guard?.figures[name] ?? NaN]);
  return {
    "guard/events": guard?.events.length ?? 0,
    ...Object.fromEntries(figures) as Record<`guard/${RuleName}`, number>,
  };
}

/** The three percentiles of a distribution under their names. */
function percentiles<D extends DistributionName>(name: D, xs: ArrayLike<number>) {
  return Object.fromEntries(
    Object.entries(PERCENTILES).map(([suffix, share]) => [
      `${name}/${suffix}`,
      percentile(xs, share),
    ]),
  ) as Record<`${D}/${keyof typeof PERCENTILES}`, number>;
}
