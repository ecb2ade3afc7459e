/** Log-probabilities of chosen tokens in plain f64; one row at a time. */

/** log(sum(exp(z))), shifted by the maximum. */
export function logSumExp(z: ArrayLike<number>): number {
  const values = Array.from(z);
  const peak = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return peak + Math.log(values.reduce((sum, zi) => sum + Math.exp(zi - peak), 0));
}

/** log softmax(logits / temperature), in nats. */
export function logSoftmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const z = Array.from(logits, (value) => value / temperature);
  const lse = logSumExp(z);
  return z.map((zi) => zi - lse);
}

/** log-probability of `target`, log-sum-exp and entropy of softmax(logits / temperature), in nats. */
export function tokenLogprob(
  logits: ArrayLike<number>,
  target: number,
  temperature = 1,
): { logprob: number; lse: number; entropy: number } {
  const lse = logSumExp(Array.from(logits, (value) => value / temperature));
  const logprobs = logSoftmax(logits, temperature);
  const entropy = -logprobs.reduce((sum, lp) => sum + Math.exp(lp) * lp, 0);
  return { logprob: logprobs[target], lse, entropy };
}

/** Gradient of `dlogprob * logprob + dentropy * entropy` with respect to the raw logits. */
export function tokenLogprobGradient(
  logits: ArrayLike<number>,
  target: number,
  { temperature = 1, dlogprob = 0, dentropy = 0 }: {
    temperature?: number;
    dlogprob?: number;
    dentropy?: number;
  },
): number[] {
  const { entropy } = tokenLogprob(logits, target, temperature);
  return logSoftmax(logits, temperature).map((lp, v) => {
    const p = Math.exp(lp);
    const dz = dlogprob * ((v === target ? 1 : 0) - p) - dentropy * p * (lp + entropy);
    return dz / temperature;
  });
}
