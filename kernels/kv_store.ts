import type { Sequences } from "./attention.ts";
import common from "./common.wgsl" with { type: "text" };
import { byWidth, expectRows } from "./elements.ts";
import source from "./kv_store.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";

const store = byWidth((elements) =>
  kernel({
    label: "kv_store",
    code: source + elements + common,
    entry: "store",
    bindings: {
      qkv: "read",
      position: "read",
      cache: "update",
      bounds: "read?",
      rows: "read?",
    },
    params: { N: "u32", Q: "u32", columns: "u32", C: "u32" },
  })
);

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = Object.values(store);

/**
 * Overwrites the columns `position` to `position + Q` of a key-value cache with the keys and values of `qkv`, where Q is
 * the length of the longest sequence; a shorter one takes the last of these columns. All others keep what they hold.
 * Columns past the end of the cache are dropped.
 *
 * @param pass Where the dispatch is recorded; nothing runs until it is submitted.
 * @param tensors.qkv (N, 3C).
 * @param tensors.sequences B sequences, one for each row of the cache; or, where every sequence is a token,
 * @param tensors.rows (N) u32, the row of each.
 * @param tensors.cache (B, Tmax, 2C), keys then values.
 * @param tensors.position (1) u32, column of the first token of the longest sequence.
 * @throws {ShapeError} If the shapes differ.
 */
export function kvStore(
  pass: Pass,
  { sequences, rows, ...tensors }:
    & { qkv: Tensor; cache: Tensor; position: Tensor<"u32"> }
    & ({ sequences: Sequences; rows?: undefined } | {
      sequences?: undefined;
      rows: Tensor<"u32">;
    }),
): void {
  const { qkv, cache, position } = tensors;
  const [B, columns, C2] = cache.shape;
  const C = C2 / 2;
  const { lengths } = sequences ?? { lengths: Array<number>(rows.size).fill(1) };
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const Q = Math.max(...lengths);
  expectRows("kvStore", "cache", cache, 2 * C);
  expectShape("kvStore", "cache", cache, [B, columns, 2 * C]);
  expectRows("kvStore", "qkv", qkv, 3 * C);
  expectSize("kvStore", "qkv", qkv, tokens * 3 * C);
  if (sequences) expectShape("kvStore", "bounds", sequences.bounds, [B, 2]);
  expectShape("kvStore", "position", position, [1]);
  const width = C % 4 === 0 ? 4 : 1;
  pass.dispatch(store[width], {
    tensors: { ...tensors, bounds: sequences?.bounds, rows },
    params: { N: lengths.length, Q, columns, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes, HAS_BOUNDS: Number(sequences !== undefined) },
    workgroups: [lengths.length * Q],
  });
}
