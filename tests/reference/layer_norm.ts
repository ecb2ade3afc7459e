/** Layer normalisation of the rows of `x` (N, C): biased variance, as torch.nn.LayerNorm. */
export function layerNorm(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  epsilon: number,
): { out: Float64Array; mean: number[]; rstd: number[] } {
  const C = weight.length;
  const out = new Float64Array(x.length);
  const mean: number[] = [];
  const rstd: number[] = [];
  for (let start = 0; start < x.length; start += C) {
    const row = Array.from({ length: C }, (_, c) => x[start + c]);
    const center = row.reduce((sum, xi) => sum + xi, 0) / C;
    const variance = row.reduce((sum, xi) => sum + (xi - center) ** 2, 0) / C;
    const scale = 1 / Math.sqrt(variance + epsilon);
    row.forEach((xi, c) => out[start + c] = (xi - center) * scale * weight[c] + bias[c]);
    mean.push(center);
    rstd.push(scale);
  }
  return { out, mean, rstd };
}

/** Sums of the columns of `x` (N, C). */
export function columnSum(x: ArrayLike<number>, C: number): Float64Array {
  const sums = new Float64Array(C);
  for (let i = 0; i < x.length; i++) sums[i % C] += x[i];
  return sums;
}
