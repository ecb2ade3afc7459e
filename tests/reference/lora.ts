/** A linear layer with an adapter on some of its columns; matrices row-major, (out, in). */
export interface LoraLayer {
  N: number;
  inputs: number;
  outputs: number;
  rank: number;
  scale: number;
  /** The adapter's first column of the output, and one past its last. */
  from: number;
  to: number;
}

/** The tensors of a {@linkcode LoraLayer}: x (N, in), W (out, in), bias (out), A (r, in), B (to - from, r). */
export interface LoraTensors {
  x: ArrayLike<number>;
  W: ArrayLike<number>;
  bias: ArrayLike<number>;
  A: ArrayLike<number>;
  B: ArrayLike<number>;
}

/** `x W^T + bias`, plus `scale x A^T B^T` in the adapter's columns: (N, out), in f64. */
export function loraLinear(
  { N, inputs, outputs, rank, scale, from, to }: LoraLayer,
  { x, W, bias, A, B }: LoraTensors,
): Float64Array {
  const weight = Float64Array.from(W);
  for (let i = 0; i < inputs; i++) {
    for (let j = from; j < to; j++) {
      for (let r = 0; r < rank; r++) {
        weight[j * inputs + i] += scale * A[r * inputs + i] * B[(j - from) * rank + r];
      }
    }
  }
  return Float64Array.from({ length: N * outputs }, (_, at) => {
    const [n, j] = [Math.floor(at / outputs), at % outputs];
    let sum = bias[j];
    for (let i = 0; i < inputs; i++) sum += x[n * inputs + i] * weight[j * inputs + i];
    return sum;
  });
}
