import type { AttentionOptions } from "./attention.ts";
import { headRowsIn, headSizeOf } from "./attention_heads.ts";
import attentionCommon from "./attention_common.wgsl" with { type: "text" };
import source from "./attention_decode.wgsl" with { type: "text" };
import common from "./common.wgsl" with { type: "text" };
import { expectRows } from "./elements.ts";
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";

const decode = kernel({
  label: "attention_decode",
  code: source + attentionCommon + common,
  entry: "decode",
  bindings: { qkv: "read", cache: "read", keys: "read", position: "read", out: "write" },
  params: { columns: "u32", heads: "u32", window: "u32", scale: "f32" },
  consts: { HEAD_SIZE: 32 },
});

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [decode];

/**
 * Overwrites `out` with the attention of one query of each sequence to the keys and values in a cache; equal to the
 * last row of `attentionForward` on the same columns up to rounding.
 *
 * Sequence b attends to the columns from keys[b, 0], or the start of the window if that is later, to `position`,
 * inclusive; the query's own key and value must have been put there by `kvStore`. A sequence whose first key lies
 * after `position` gives zeros.
 *
 * @param pass Where the dispatch is recorded; nothing runs until it is submitted.
 * @param tensors.qkv (B, 3C) or (B, 1, 3C); only the queries are read.
 * @param tensors.cache (B, Tmax, 2C), keys then values.
 * @param tensors.keys (B, 2) u32, first valid key column; the second number is not used.
 * @param tensors.position (1) u32, column of the query. Read on the GPU, so that many steps fit in one submit.
 * @param tensors.out (B, C) or (B, 1, C).
 * @param options As of `attentionForward`; always causal.
 * @throws {ShapeError} If the shapes differ or `heads` does not divide C.
 */
export function attentionDecode(
  pass: Pass,
  tensors: {
    qkv: Tensor;
    cache: Tensor;
    keys: Tensor<"u32">;
    position: Tensor<"u32">;
    out: Tensor;
  },
  options: Omit<AttentionOptions, "causal">,
): void {
  const { qkv, cache, keys, position, out } = tensors;
  const { heads, window = 0 } = options;
  const headSize = headSizeOf("attentionDecode", qkv, heads);
  const C = heads * headSize;
  const [B, columns] = cache.shape;
  expectRows("attentionDecode", "cache", cache, 2 * C);
  expectShape("attentionDecode", "cache", cache, [B, columns, 2 * C]);
  expectRows("attentionDecode", "qkv", qkv, 3 * C);
  expectSize("attentionDecode", "qkv", qkv, B * 3 * C);
  expectShape("attentionDecode", "keys", keys, [B, 2]);
  expectShape("attentionDecode", "position", position, [1]);
  expectRows("attentionDecode", "out", out, C);
  expectSize("attentionDecode", "out", out, B * C);
  pass.dispatch(decode, {
    tensors,
    params: {
      columns,
      heads,
      window: window || columns,
      scale: options.scale ?? 1 / Math.sqrt(headSize),
    },
    constants: { WORKGROUP_SIZE: Math.min(pass.gpu.rowLanes, headRowsIn(8192, headSize)) },
    consts: { HEAD_SIZE: headSize },
    workgroups: [heads, B],
    flops: 4 * B * C * columns, // as if the cache were full
  });
}
