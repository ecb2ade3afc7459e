import { logSoftmax } from "./token_logprobs.ts";

/** Exact KL(policy || reference) of one row over the vocabulary, in nats, in f64. */
export function klFull(
  logits: ArrayLike<number>, // (V) raw scores of the policy
  refLogits: ArrayLike<number>, // (V) raw scores of the reference
  temperature = 1,
): number {
  const refLogprobs = logSoftmax(refLogits, temperature);
  return logSoftmax(logits, temperature).reduce(
    (kl, logprob, v) => kl + Math.exp(logprob) * (logprob - refLogprobs[v]),
    0,
  );
}

/** Gradient (V) of {@linkcode klFull} with respect to the policy's raw logits, in f64. */
export function klFullGradient(
  logits: ArrayLike<number>,
  refLogits: ArrayLike<number>,
  temperature = 1,
): number[] {
  const kl = klFull(logits, refLogits, temperature);
  const refLogprobs = logSoftmax(refLogits, temperature);
  return logSoftmax(logits, temperature).map((logprob, v) =>
    (Math.exp(logprob) * (logprob - refLogprobs[v] - kl)) / temperature
  );
}

/** Estimators of the KL from the log-probability of the sampled token alone. */
export type KlEstimator = "k1" | "k2" | "k3" | "abs";

/**
 * Per-token estimate (N) in nats and its derivative (N) with respect to `logprobs`, in f64.
 *
 * Source: Schulman, "Approximating KL divergence" (joschu.net/blog/kl-approx.html); `abs` as in
 * TRL 0.11.
 */
export function klEstimate(
  estimator: KlEstimator,
  logprobs: ArrayLike<number>,
  refLogprobs: ArrayLike<number>,
): { kl: number[]; dlogprobs: number[] } {
  const differences = Array.from(logprobs, (logprob, n) => logprob - refLogprobs[n]);
  const [value, derivative] = ESTIMATORS[estimator];
  return { kl: differences.map(value), dlogprobs: differences.map(derivative) };
}

type OfDifference = (d: number) => number;
const ESTIMATORS: Record<KlEstimator, [value: OfDifference, derivative: OfDifference]> = {
  k1: [(d) => d, () => 1],
  k2: [(d) => d ** 2 / 2, (d) => d],
  k3: [(d) => Math.exp(-d) - 1 + d, (d) => 1 - Math.exp(-d)],
  abs: [Math.abs, Math.sign],
};
