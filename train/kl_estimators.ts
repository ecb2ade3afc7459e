import type { KlEstimator } from "../kernels/kl.ts";
import { checkShapes, type Rows } from "./rows.ts";

/** Each as a function of the log-ratio d = logprob - refLogprob. Source: Schulman 2020, "Approximating KL divergence". */
const ESTIMATE: Record<KlEstimator, (d: number) => number> = {
  k1: (d) => d,
  k2: (d) => d * d / 2,
  k3: (d) => Math.exp(-d) - 1 + d,
  abs: (d) => Math.abs(d),
};

/**
 * Estimates KL(policy || reference) at every response token.
 *
 * @returns (B, R) nats, 0 outside the mask.
 * @throws {ShapeError} If the shapes differ.
 */
export function estimateKl(
  { logprobs, refLogprobs, mask }: { logprobs: Rows; refLogprobs: Rows; mask: Rows },
  estimator: KlEstimator,
): number[][] {
  checkShapes("estimate the KL", mask, { logprobs, refLogprobs });
  const estimate = ESTIMATE[estimator];
  return mask.map((row, b) =>
    Array.from(row, (bit, t) => bit === 0 ? 0 : estimate(logprobs[b][t] - refLogprobs[b][t]))
  );
}
