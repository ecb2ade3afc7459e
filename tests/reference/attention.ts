/** Sizes and mask of an attention; `keys` is (B, 2), first valid key column and one past the last. */
export interface Case {
  B: number;
  T: number;
  heads: number;
  headSize: number;
  keys: ArrayLike<number>;
  causal?: boolean;
  /** How many columns back a query sees, its own included; 0 for all. */
  window?: number;
  scale?: number;
}

/** `out` (B, T, C) and `lse` (B, NH, T) of softmax(scale * q k^T) v; zeros for a query without keys. */
export function attention(
  qkv: ArrayLike<number>,
  sizes: Case,
): { out: Float64Array; lse: Float64Array } {
  const { B, T, heads, headSize } = sizes;
  const C = heads * headSize;
  const out = new Float64Array(B * T * C);
  const lse = new Float64Array(B * heads * T);
  forEachQuery(qkv, sizes, ({ b, head, t, weights, logSum }) => {
    lse[(b * heads + head) * T + t] = logSum;
    weights.forEach((weight, j) => {
      for (let c = 0; c < headSize; c++) {
        out[(b * T + t) * C + head * headSize + c] += weight * qkv[at(sizes, b, j, 2, head, c)];
      }
    });
  });
  return { out, lse };
}

/** Gradient (B, T, 3C) of sum(dout * out) with respect to qkv, by the softmax's own derivative. */
export function attentionBackward(
  qkv: ArrayLike<number>,
  dout: ArrayLike<number>,
  sizes: Case,
): Float64Array {
  const { T, heads, headSize, scale = 1 / Math.sqrt(headSize) } = sizes;
  const C = heads * headSize;
  const dqkv = new Float64Array(qkv.length);
  forEachQuery(qkv, sizes, ({ b, head, t, weights }) => {
    const dy = (c: number) => dout[(b * T + t) * C + head * headSize + c];
    const dweights = weights.map((_, j) => {
      let sum = 0;
      for (let c = 0; c < headSize; c++) sum += dy(c) * qkv[at(sizes, b, j, 2, head, c)];
      return sum;
    });
    const mean = weights.reduce((sum, weight, j) => sum + weight * dweights[j], 0);
    weights.forEach((weight, j) => {
      const dscore = scale * weight * (dweights[j] - mean);
      for (let c = 0; c < headSize; c++) {
        dqkv[at(sizes, b, t, 0, head, c)] += dscore * qkv[at(sizes, b, j, 1, head, c)];
        dqkv[at(sizes, b, j, 1, head, c)] += dscore * qkv[at(sizes, b, t, 0, head, c)];
        dqkv[at(sizes, b, j, 2, head, c)] += weight * dy(c);
      }
    });
  });
  return dqkv;
}

interface Query {
  b: number;
  head: number;
  t: number;
  /** By key column; holes where the query may not look. */
  weights: number[];
  logSum: number;
}

function forEachQuery(qkv: ArrayLike<number>, sizes: Case, visit: (query: Query) => void): void {
  const { B, T, heads, headSize, keys, causal = true, window = 0 } = sizes;
  const { scale = 1 / Math.sqrt(headSize) } = sizes;
  for (let b = 0; b < B; b++) {
    for (let head = 0; head < heads; head++) {
      for (let t = 0; t < T; t++) {
        const scores: number[] = [];
        const end = Math.min(keys[2 * b + 1], causal ? t + 1 : T);
        const start = Math.max(keys[2 * b], window > 0 ? t - window + 1 : 0);
        for (let j = start; j < end; j++) {
          let dot = 0;
          for (let c = 0; c < headSize; c++) {
            dot += qkv[at(sizes, b, t, 0, head, c)] * qkv[at(sizes, b, j, 1, head, c)];
          }
          scores[j] = scale * dot;
        }
        const peak = scores.reduce((a, b) => Math.max(a, b), -Infinity);
        const total = scores.reduce((sum, score) => sum + Math.exp(score - peak), 0);
        const weights = scores.map((score) => Math.exp(score - peak) / total);
        visit({ b, head, t, weights, logSum: total > 0 ? peak + Math.log(total) : 0 });
      }
    }
  }
}

/** Index of a channel of q, k or v (part 0, 1, 2) in qkv (B, T, 3C). */
function at(
  { T, heads, headSize }: Case,
  b: number,
  t: number,
  part: number,
  head: number,
  c: number,
): number {
  return (((b * T + t) * 3 + part) * heads + head) * headSize + c;
}
