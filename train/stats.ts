import { maskedValues, type Rows } from "./rows.ts";

/** Sum, in order. */
export function sum(xs: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < xs.length; i++) total += xs[i];
  return total;
}

/** Arithmetic mean; 0 of nothing. */
export function mean(xs: ArrayLike<number>): number {
  return xs.length === 0 ? 0 : sum(xs) / xs.length;
}

/** The middle one of some numbers, the larger where there are two. */
export function median(xs: readonly number[]): number {
  return xs.toSorted((a, b) => a - b)[xs.length >> 1]!;
}

/** Unbiased variance, divisor n - 1; 0 of fewer than two numbers. */
export function variance(xs: ArrayLike<number>): number {
  if (xs.length < 2) return 0;
  const center = mean(xs);
  return sum(Array.from(xs, (x) => (x - center) ** 2)) / (xs.length - 1);
}

/** Square root of the unbiased {@linkcode variance}. */
export function standardDeviation(xs: ArrayLike<number>): number {
  return Math.sqrt(variance(xs));
}

/** Mean over the elements inside the mask; 0 when there is none. NaN outside does no harm. */
export function maskedMean(rows: Rows, mask: Rows): number {
  return mean(maskedValues(rows, mask));
}

/**
 * The share of a variance that a prediction explains, `1 - unexplained / total`; 0 when there is no
 * variance to explain. 1 is perfect, 0 no better than the mean, negative is worse.
 *
 * The two forms in use: TRL and lm-human-preferences give the mean squared error as `unexplained`,
 * so that a constant offset counts against the prediction; verl gives the variance of the
 * residuals, so that it does not, and adds 1e-5 to `total`.
 */
export function explainedShare(unexplained: number, total: number): number {
  return total === 0 ? 0 : 1 - unexplained / total;
}

/**
 * The number below which the share `q` of `xs` lies, linear between neighbours (as NumPy's
 * default); NaN of nothing.
 *
 * @param q From 0 (smallest) to 1 (largest).
 */
export function percentile(xs: ArrayLike<number>, q: number): number {
  if (xs.length === 0) return NaN;
  const sorted = Float64Array.from(xs).sort();
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  if (below === position) return sorted[below]; // also where a neighbour is infinite
  return sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]);
}
