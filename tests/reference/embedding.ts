/** Rows of `table` (V, C) named by `ids`. */
export function gather(table: ArrayLike<number>, ids: ArrayLike<number>, C: number): number[] {
  return Array.from(ids).flatMap((id) => Array.from({ length: C }, (_, c) => table[id * C + c]));
}

/** (rows, C): in row r the sum of those rows n of `dout` (N, C) for which `ids[n]` is r. */
export function scatterAdd(
  dout: ArrayLike<number>,
  ids: ArrayLike<number>,
  { rows, C }: { rows: number; C: number },
): Float64Array {
  const sums = new Float64Array(rows * C);
  for (let n = 0; n < ids.length; n++) {
    for (let c = 0; c < C; c++) sums[ids[n] * C + c] += dout[n * C + c];
  }
  return sums;
}
