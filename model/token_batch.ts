import type { Sequences } from "../kernels/attention.ts";
import type { Arena, Tensor } from "../kernels/runtime/mod.ts";

/** Token ids on the host, as models take them. */
export interface TokenRows {
  /** (B, T) token ids. */
  inputIds: readonly (readonly number[])[];
  /** (B, T) 1 for a token, 0 for padding, which may stand on the left and on the right; all 1 if absent. */
  attentionMask?: readonly (readonly number[])[];
}

/** The tokens of a batch on the GPU, row after row without the padding, for which nothing is so computed. */
export interface TokenBatch {
  /** Tokens of all rows. */
  readonly N: number;
  /** (N) token ids. */
  readonly ids: Tensor<"u32">;
  /** (N) position ids: 0 at each row's first token. */
  readonly positions: Tensor<"u32">;
  /** B rows. */
  readonly sequences: Sequences;
  /** On the host. */
  readonly host: {
    ids: Uint32Array; // (N)
    positions: Uint32Array; // (N)
    /** (B) the first token of each row, and the column in which it stood. */
    starts: number[];
    columns: number[];
  };
}

/** The same rows without the last token of each, which no other follows. */
export function withoutLast({ inputIds, attentionMask }: TokenRows): Required<TokenRows> {
  const isFollowed = (b: number, t: number) => {
    const mask = attentionMask?.[b];
    return t + 1 < inputIds[b].length && (!mask || (mask[t] === 1 && mask[t + 1] === 1));
  };
  return {
    inputIds,
    attentionMask: inputIds.map((row, b) => row.map((_, t) => Number(isFollowed(b, t)))),
  };
}

/** Which of the N tokens of a batch stood in a row's column; it must have been a token. */
export function placeOf({ host }: Pick<TokenBatch, "host">, b: number, column: number): number {
  return host.starts[b] + column - host.columns[b];
}

/** Rows that cannot be a batch. */
export class TokenRowsError extends RangeError {
  /** The name of the class. */
  override name = "TokenRowsError";
}

/** Pads rows of ids on the left to equal length. */
export function padLeft(rows: readonly (readonly number[])[], padId: number): Required<TokenRows> {
  const T = Math.max(...rows.map((row) => row.length));
  return {
    inputIds: rows.map((row) => [...Array(T - row.length).fill(padId), ...row]),
    attentionMask: rows.map((
      row,
    ) => [...Array(T - row.length).fill(0), ...Array(row.length).fill(1)]),
  };
}

/** Pads rows of ids on the right to equal length. */
export function padRight(rows: readonly (readonly number[])[], padId: number): Required<TokenRows> {
  const T = Math.max(...rows.map((row) => row.length));
  const filled = (row: readonly number[], fill: number) => [
    ...row,
    ...Array(T - row.length).fill(fill),
  ];
  return {
    inputIds: rows.map((row) => filled(row, padId)),
    attentionMask: rows.map((row) => filled(row.map(() => 1), 0)),
  };
}

/**
 * Uploads the tokens of a batch into slots of `arena`; they last until the next upload under the same `slot`.
 *
 * Position ids count the tokens before: the exclusive running sum of the mask.
 *
 * @throws {TokenRowsError} If rows are empty or of unequal length, ids are outside the vocabulary, a row is
 *   longer than the context, or a mask has a hole.
 */
export function uploadTokens(
  arena: Arena,
  { inputIds, attentionMask }: TokenRows,
  { vocabSize, nPositions }: { vocabSize: number; nPositions: number },
  slot = "tokens",
): TokenBatch {
  const B = inputIds.length;
  const T = inputIds[0]?.length ?? 0;
  const ids: number[] = [];
  const positions: number[] = [];
  const [starts, columns, lengths]: [number[], number[], number[]] = [[], [], []];
  inputIds.forEach((row, b) => {
    const rowMask = attentionMask?.[b] ?? row.map(() => 1);
    if (row.length !== T || rowMask.length !== T) {
      throw new TokenRowsError(
        `Cannot make a batch: row ${b} has ${row.length} ids and a mask of ${rowMask.length}, expected ${T}`,
      );
    }
    const first = rowMask.indexOf(1);
    const count = rowMask.reduce((sum, bit) => sum + bit, 0);
    if (count > nPositions) {
      throw new TokenRowsError(
        `Cannot make a batch: row ${b} has ${count} tokens, the model's context holds ${nPositions}`,
      );
    }
    for (let t = 0; t < T; t++) {
      const inside = first >= 0 && t >= first && t < first + count;
      if (rowMask[t] !== (inside ? 1 : 0)) {
        throw new TokenRowsError(
          `Cannot make a batch: the attention mask of row ${b} has a hole; pad on the left or the right only`,
        );
      }
      if (!(Number.isInteger(row[t]) && row[t] >= 0 && row[t] < vocabSize)) {
        throw new TokenRowsError(
          `Cannot make a batch: id ${row[t]} in row ${b} is outside the vocabulary of ${vocabSize}`,
        );
      }
    }
    starts.push(ids.length);
    columns.push(Math.max(first, 0));
    lengths.push(count);
    for (let t = 0; t < count; t++) {
      ids.push(row[first + t]);
      positions.push(t);
    }
  });
  const N = ids.length;
  if (N === 0) throw new TokenRowsError("Cannot make a batch: there are no tokens");
  const upload = (name: string, data: Uint32Array, shape: number[]) => {
    const tensor = arena.take(`${slot}.${name}`, shape, "u32");
    arena.gpu.write(tensor, data);
    return tensor;
  };
  const host = {
    ids: Uint32Array.from(ids),
    positions: Uint32Array.from(positions),
    starts,
    columns,
  };
  const bounds = Uint32Array.from(lengths.flatMap((length, b) => [starts[b], starts[b] + length]));
  return {
    N,
    ids: upload("ids", host.ids, [N]),
    positions: upload("positions", host.positions, [N]),
    sequences: { bounds: upload("bounds", bounds, [B, 2]), lengths },
    host,
  };
}
