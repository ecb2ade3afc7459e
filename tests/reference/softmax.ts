/** exp(x) / sum(exp(x)) of each row of `x` (N, C). */
export function softmax(x: ArrayLike<number>, C: number): Float64Array {
  const out = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += C) {
    const row = Array.from({ length: C }, (_, c) => x[start + c]);
    const peak = row.reduce((a, b) => Math.max(a, b));
    const mass = row.reduce((sum, xi) => sum + Math.exp(xi - peak), 0);
    row.forEach((xi, c) => out[start + c] = Math.exp(xi - peak) / mass);
  }
  return out;
}
