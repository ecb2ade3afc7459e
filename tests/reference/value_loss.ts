export interface ValueLossInputs {
  values: ArrayLike<number>; // (N) of the value head that is trained
  oldValues: ArrayLike<number>; // (N) at the time of sampling
  returns: ArrayLike<number>; // (N)
  mask: ArrayLike<number>; // (N) 1 on response tokens
}

export interface ValueLossOptions {
  clipRange: number;
  /** Weight of the loss in the total; the loss itself is reported without it. */
  valueCoef?: number;
  /** Weight of one token; 1 / (tokens in the mask) when absent. */
  tokenWeight?: number;
}

export interface ValueLossResult {
  loss: number;
  /** Share of tokens where the clipped error is strictly the larger. */
  clipFraction: number;
  /** Mean of `(value - return)^2`, without clipping. */
  error: number;
  /** Mean value. */
  mean: number;
  dvalues: number[]; // (N) d (valueCoef * loss) / d values
}

/**
 * PPO's clipped value loss, `mean(max((v - R)^2, (clip(v, old +- range) - R)^2)) / 2`, in f64.
 *
 * Source: openai/lm-human-preferences `train_policy.py`, lines 343-347.
 */
export function valueLoss(inputs: ValueLossInputs, options: ValueLossOptions): ValueLossResult {
  const { values, oldValues, returns, mask } = inputs;
  const { clipRange, valueCoef = 1 } = options;
  const tokens = Array.from(mask).filter((m) => m !== 0).length;
  const weight = options.tokenWeight ?? (tokens > 0 ? 1 / tokens : 0);
  const result: ValueLossResult = {
    loss: 0,
    clipFraction: 0,
    error: 0,
    mean: 0,
    dvalues: Array(values.length).fill(0),
  };
  for (let n = 0; n < values.length; n++) {
    if (mask[n] === 0) continue;
    const value = values[n];
    const clipped = Math.min(Math.max(value, oldValues[n] - clipRange), oldValues[n] + clipRange);
    const error = (value - returns[n]) ** 2;
    const clippedError = (clipped - returns[n]) ** 2;
    result.loss += (weight * Math.max(error, clippedError)) / 2;
    result.error += weight * error;
    result.mean += weight * value;
    // Where the clipped error is larger the value was clipped, so its gradient is zero.
    if (clippedError > error) result.clipFraction += weight;
    else result.dvalues[n] = weight * valueCoef * (value - returns[n]);
  }
  return result;
}
