/** What top-k and top-p leave of a row, by sorting. */

/** Ids of the k largest numbers and of those equal to the k-th, in order of id. */
export function topKIds(logits: ArrayLike<number>, k: number): number[] {
  const lowest = Array.from(logits).sort((a, b) => b - a)[k - 1];
  return idsWhere(logits, (z) => z >= lowest);
}

/** Ids of the fewest largest numbers whose softmax reaches the sum p, at least one, in order of id. */
export function topPIds(logits: ArrayLike<number>, p: number, temperature = 1): number[] {
  const sorted = Array.from(logits).sort((a, b) => b - a);
  const weights = sorted.map((z) => Math.exp((z - sorted[0]) / temperature));
  const enough = p * weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  const last = weights.findIndex((weight) => (sum += weight) >= enough);
  return idsWhere(logits, (z) => z >= sorted[last]);
}

function idsWhere(logits: ArrayLike<number>, keep: (z: number) => boolean): number[] {
  return Array.from(logits).flatMap((z, id) => keep(z) ? [id] : []);
}
