/**
 * Generalised advantages of one row by their definition, in f64: leave out the tokens outside the
 * mask, then `A_t = sum_k (gamma * lambda)^k * delta_{t+k}` as a double sum.
 *
 * @returns (T), 0 outside the mask.
 *
 * Source: Schulman et al. 2016 (arXiv:1506.02438) eq. 16.
 */
export function advantagesOf(
  { rewards, values, mask }: {
    rewards: readonly number[]; // (T)
    values: readonly number[]; // (T)
    mask: readonly number[]; // (T)
  },
  { gamma, lambda }: { gamma: number; lambda: number },
): number[] {
  const real = mask.flatMap((m, t) => (m === 0 ? [] : [t]));
  const deltas = real.map((t, i) => {
    const nextValue = i + 1 < real.length ? values[real[i + 1]] : 0;
    return rewards[t] + gamma * nextValue - values[t];
  });
  const advantages = mask.map(() => 0);
  real.forEach((t, i) => {
    for (let k = 0; i + k < deltas.length; k++) {
      advantages[t] += (gamma * lambda) ** k * deltas[i + k];
    }
  });
  return advantages;
}
