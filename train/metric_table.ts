/**
 * Every metric of a PPO step, its unit and its meaning; the one place to look a name up.
 *
 * Names are those of TRL 0.11 (`ppo_trainer.py`, `record_step_stats`), with the names of TRL's later
 * trainer as aliases and a few of verl's. Means over tokens are over response tokens only. Means
 * over updates are unweighted means of the optimizer steps that were not skipped, null in
 * metrics.jsonl where all were.
 *
 * @module
 */

/** The scalar metrics: name -> [unit, meaning]. */
export const METRICS = {
  "step": ["steps", "index of the PPO step"],
  "episode": ["responses", "sampled so far, this step included"],

  "objective/kl": ["nats per response", "KL to the reference, by the chosen estimator"],
  "objective/kl_per_token": ["nats per token", "the same, mean over tokens"],
  "objective/kl_full": ["nats per token", "exact KL over the vocabulary, mean over tokens"],
  "objective/kl_coef": ["reward per nat", "beta, as used in this step"],
  "objective/kl_target": ["nats per token", "KL that the controller holds, in this step"],
  "objective/entropy": ["nats per response", "sum of -logprob of the sampled tokens"],
  "objective/non_score_reward": ["reward per response", "-beta * KL, wherever the KL is applied"],
  "objective/rlhf_reward": ["reward per response", "score plus non-score reward: what RLHF raises"],
  "objective/scores": ["reward per response", "mean score, as the reward gave it"],

  "ppo/mean_scores": [
    "reward per response",
    "mean score as trained on: normalised, scaled, clipped",
  ],
  "ppo/std_scores": ["reward per response", "standard deviation of the same"],
  "ppo/mean_non_score_reward": ["reward per token", "-beta * KL, mean over tokens"],
  "ppo/rewards_mean": ["reward per response", "sum of the token rewards that GAE saw"],
  "ppo/learning_rate": ["1", "of the policy, in this step"],
  "ppo/epochs_done": ["epochs", "passes over the batch"],
  "ppo/grad_norm": ["1", "global norm before clipping, mean over updates"],
  "ppo/skipped": ["optimizer steps", "skipped because a gradient was not finite"],

  "ppo/loss/policy": ["1", "clipped policy loss, mean over updates"],
  "ppo/loss/value": ["reward^2", "clipped value loss before its coefficient, mean over updates"],
  "ppo/loss/total": ["1", "what was minimised, mean over updates"],

  "ppo/policy/entropy": ["nats per token", "Shannon entropy, mean over updates"],
  "ppo/policy/clipfrac": ["share of tokens", "where clipping bit, mean over updates"],
  "ppo/policy/approxkl": ["nats per token", "(logprob - old)^2 / 2, mean over updates"],
  "ppo/policy/policykl": ["nats per token", "old - logprob, mean over updates"],
  "ppo/policy/refkl": ["nats per token", "KL to the reference while training, mean over updates"],
  "ppo/policy/ratio": ["1", "exp(logprob - old), mean over updates"],
  "ppo/policy/ratio_max": ["1", "largest ratio of any token"],
  "ppo/policy/advantages_mean": ["reward", "before whitening, mean over tokens"],

  "ppo/returns/mean": ["reward", "mean over tokens"],
  "ppo/returns/var": ["reward^2", "unbiased variance over tokens"],
  "ppo/val/mean": ["reward", "values at sampling time, mean over tokens"],
  "ppo/val/var": ["reward^2", "unbiased variance of the same"],
  "ppo/val/vpred": ["reward", "values while training, mean over updates"],
  "ppo/val/error": ["reward^2", "squared error of these, mean over updates"],
  "ppo/val/clipfrac": ["share of tokens", "where value clipping bit, mean over updates"],
  "ppo/val/var_explained": ["share", "1 - error / var of the returns"],
  "critic/vf_explained_var": ["share", "1 - var(returns - values at sampling) / var(returns)"],

  "tokens/queries_len_mean": ["tokens", "mean length of the prompts"],
  "tokens/queries_len_std": ["tokens", "standard deviation of the same"],
  "tokens/responses_len_mean": ["tokens", "mean length of the responses, stop token included"],
  "tokens/responses_len_std": ["tokens", "standard deviation of the same"],
  "env/reward_mean": ["reward per response", "mean score, as the reward gave it"],
  "env/reward_std": ["reward per response", "standard deviation of the scores"],

  "guard/events": ["events", "that the guard reported in this step"],
  "guard/non_finite_reward": ["steps", "in a row without updates, since a score was not finite"],
  "guard/non_finite_update": ["steps", "in a row with a loss or gradient that was not finite"],
  "guard/first_ratio": ["nats", "largest |log ratio| of the first update: 0 but for rounding"],
  "guard/ratio": ["1", "factor between 1 and the mean ratio of the update farthest from it"],
  "guard/kl": ["nats per token", "exact KL of the guard's window of responses"],
  "guard/entropy": ["nats per token", "of the window, when sampled"],
  "guard/distinct": ["share", "distinct-2 of the window's texts"],
  "guard/repetition": ["share", "of repeated word pairs within the window's texts"],
  "guard/length": ["tokens", "mean length of the window's responses"],
  "guard/reward_hacking": ["1", "the reference's perplexity of the window, in that of its own"],

  "policy/approxkl_avg": ["nats per token", "alias of ppo/policy/approxkl"],
  "policy/clipfrac_avg": ["share of tokens", "alias of ppo/policy/clipfrac"],
  "policy/entropy_avg": ["nats per token", "alias of ppo/policy/entropy"],
  "loss/policy_avg": ["1", "alias of ppo/loss/policy"],
  "loss/value_avg": ["reward^2", "alias of ppo/loss/value"],
  "val/clipfrac_avg": ["share of tokens", "alias of ppo/val/clipfrac"],
  "val/ratio": ["1", "alias of ppo/policy/ratio"],
  "val/ratio_var": ["1", "unbiased variance of the mean ratios of the updates"],
  "val/num_eos_tokens": ["responses", "that a stop token ended"],
  "lr": ["1", "alias of ppo/learning_rate"],

  "eps": ["responses per second", "of the whole step"],
  "perf/tokens_per_second": [
    "tokens per second",
    "generated tokens over the time of the whole step",
  ],
  "perf/total_num_tokens": ["tokens", "prompts and responses"],
  "timing_s/generate": ["seconds", "sampling the responses"],
  "timing_s/score": ["seconds", "the reward"],
  "timing_s/forward": ["seconds", "old log-probabilities and values, and the reference's"],
  "timing_s/advantages": ["seconds", "token rewards, GAE and whitening"],
  "timing_s/update": ["seconds", "all epochs of optimization"],
  "timing_s/total": ["seconds", "the whole step"],
  "time/ppo/forward_pass": ["seconds", "alias of timing_s/forward"],
  "time/ppo/compute_advantages": ["seconds", "alias of timing_s/advantages"],
  "time/ppo/optimize_step": ["seconds", "alias of timing_s/update"],
  "time/ppo/total": ["seconds", "alias of timing_s/total"],
} as const satisfies Record<string, readonly [unit: string, meaning: string]>;

/**
 * Where TRL logs a histogram, the 5th, 50th and 95th percentile: `NAME/p05`, `NAME/p50`,
 * `NAME/p95`. Name -> [unit, meaning].
 */
export const DISTRIBUTIONS = {
  "objective/kl_dist": ["nats per response", "KL to the reference, by the chosen estimator"],
  "objective/logprobs": ["nats per token", "log-probabilities when sampled"],
  "objective/ref_logprobs": ["nats per token", "log-probabilities of the reference"],
  "ppo/policy/advantages": ["reward", "advantages before whitening, of the tokens"],
  "env/reward_dist": ["reward per response", "scores"],
  "tokens/queries_dist": ["tokens", "lengths of the prompts"],
  "tokens/responses_dist": ["tokens", "lengths of the responses"],
} as const satisfies Record<string, readonly [unit: string, meaning: string]>;

/** Percentiles of a distribution: suffix -> share. */
export const PERCENTILES = { p05: 0.05, p50: 0.5, p95: 0.95 } as const;

/** Name of a distribution. */
export type DistributionName = keyof typeof DISTRIBUTIONS;

/** Name of a scalar metric or of a percentile of a distribution. */
export type MetricName =
  | keyof typeof METRICS
  | `${DistributionName}/${keyof typeof PERCENTILES}`;

/**
 * Metrics of what a reward tells beside its scores, where it does: `rewards/<part>/mean` and
 * `rewards/<part>/std`, over the responses and before the part's weight; `rewards/source`, which of
 * several rewards scored, counted from 0.
 */
export type RewardMetrics = Record<`rewards/${string}`, number>;

/** Whether a run has a metric of this name; which of a reward's there are shows only in its first step. */
export function isMetricName(name: string): boolean {
  const [, distribution = "", suffix = ""] = name.match(/^(.*)\/(\w+)$/) ?? [];
  return Object.hasOwn(METRICS, name) || name.startsWith("rewards/") ||
    (Object.hasOwn(DISTRIBUTIONS, distribution) && Object.hasOwn(PERCENTILES, suffix));
}

/** Metrics that measure time: two runs of one seed differ in these only. */
export function isTimeMetric(name: string): boolean {
  return name === "eps" ||
    ["time/", "timing_s/", "perf/"].some((prefix) => name.startsWith(prefix));
}
