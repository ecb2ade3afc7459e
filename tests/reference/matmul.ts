/** What {@linkcode matmul} takes beside A, B and the sizes. */
export interface MatmulReferenceOptions {
  layout?: "nn" | "nt" | "tn";
  bias?: ArrayLike<number>;
  residual?: ArrayLike<number>;
  activation?: (x: number) => number;
  scale?: number;
}

/**
 * `activation(scale A B + bias) + residual` in f64, with the value before the activation.
 *
 * @param a `(rows, depth)`, or `(depth, rows)` in layout `tn`.
 * @param b `(depth, columns)`, or `(columns, depth)` in layout `nt`.
 */
export function matmul(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  [rows, columns, depth]: readonly [number, number, number],
  { layout = "nn", bias, residual, activation = (x) => x, scale = 1 }: MatmulReferenceOptions = {},
): { out: Float64Array; preactivation: Float64Array } {
  const out = new Float64Array(rows * columns);
  const preactivation = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        const left = layout === "tn" ? a[k * rows + i] : a[i * depth + k];
        const right = layout === "nt" ? b[j * depth + k] : b[k * columns + j];
        sum += left * right;
      }
      const at = i * columns + j;
      preactivation[at] = scale * sum + (bias?.[j] ?? 0);
      out[at] = activation(preactivation[at]) + (residual?.[at] ?? 0);
    }
  }
  return { out, preactivation };
}
