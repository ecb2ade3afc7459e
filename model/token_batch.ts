import type { Arena, Tensor } from "../kernels/runtime/mod.ts";

/** Token ids on the host, as models take them. */
export interface TokenRows {
  /** (B, T) token ids. */
  inputIds: readonly (readonly number[])[];
  /** (B, T) 1 for a token, 0 for padding, which may stand on the left and on the right; all 1 if absent. */
  attentionMask?: readonly (readonly number[])[];
}

/** A padded batch of token ids on the GPU. */
export interface TokenBatch {
  /** Rows. */
  readonly B: number;
  /** Columns, padding included. */
  readonly T: number;
  /** (B*T) token ids. */
  readonly ids: Tensor<"u32">;
  /** (B*T) position ids: 0 at each row's first token, 0 at padding. */
  readonly positions: Tensor<"u32">;
  /** (B, 2) the first column that is a token, and one past the last. */
  readonly keys: Tensor<"u32">;
  /** The same on the host, for the plan of the embedding's gradient. */
  readonly host: { ids: Uint32Array; positions: Uint32Array; mask: Uint32Array };
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
 * Uploads a batch into slots of `arena`; it lasts until the next upload under the same `slot`.
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
  if (B === 0 || T === 0) throw new TokenRowsError("Cannot make a batch: there are no tokens");
  const ids = new Uint32Array(B * T);
  const positions = new Uint32Array(B * T);
  const mask = new Uint32Array(B * T);
  const keys = new Uint32Array(B * 2);
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
      ids[b * T + t] = row[t];
      positions[b * T + t] = inside ? t - first : 0;
      mask[b * T + t] = rowMask[t];
    }
    keys.set([Math.max(first, 0), Math.max(first, 0) + count], 2 * b);
  });
  const upload = (name: string, data: Uint32Array, shape: number[]) => {
    const tensor = arena.take(`${slot}.${name}`, shape, "u32");
    arena.gpu.write(tensor, data);
    return tensor;
  };
  return {
    B,
    T,
    ids: upload("ids", ids, [B * T]),
    positions: upload("positions", positions, [B * T]),
    keys: upload("keys", keys, [B, 2]),
    host: { ids, positions, mask },
  };
}
