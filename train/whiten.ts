import { checkShapes, maskedValues, type Rows } from "./rows.ts";
import { mean, variance } from "./stats.ts";

/** Settings of {@linkcode whiten}. */
export interface WhitenOptions {
  /** Move the mean to 0 (advantages, default), or keep it (rewards). */
  shiftMean?: boolean;
}

/**
 * Scales the elements inside the mask to unit variance: `(x - mean) / sqrt(variance + 1e-8)`.
 *
 * Mean and unbiased variance are taken over the whole batch, inside the mask only.
 *
 * @param x (B, R)
 * @param mask (B, R) 1 on response tokens.
 * @returns (B, R), 0 outside the mask; all 0 when the mask has fewer than two tokens.
 * @throws {ShapeError} If the shapes differ.
 *
 * Source: `masked_whiten` of TRL 0.11 (`core.py`), but finite for a single token.
 */
export function whiten(x: Rows, mask: Rows, { shiftMean = true }: WhitenOptions = {}): number[][] {
  checkShapes("whiten", mask, { x });
  const values = maskedValues(x, mask);
  const center = mean(values);
  const scale = values.length < 2 ? 0 : 1 / Math.sqrt(variance(values) + 1e-8);
  const offset = shiftMean || values.length < 2 ? 0 : center;
  return mask.map((row, b) =>
    Array.from(row, (m, t) => (m === 0 ? 0 : (x[b][t] - center) * scale + offset))
  );
}
