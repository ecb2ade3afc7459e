import type { AttentionOptions } from "./attention.ts";
import { attentionWay } from "./attention_choice.ts";
import { headRowsIn, headSizeOf } from "./attention_heads.ts";
import attentionCommon from "./attention_common.wgsl" with { type: "text" };
import source from "./attention_decode.wgsl" with { type: "text" };
import bySubgroupSource from "./attention_decode_subgroup.wgsl" with { type: "text" };
import byWorkgroupSource from "./attention_decode_workgroup.wgsl" with { type: "text" };
import common from "./common.wgsl" with { type: "text" };
import { expectRows } from "./elements.ts";
import { kvStore } from "./kv_store.ts";
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";

const byWorkgroup = decodeKernel(byWorkgroupSource, false);
const bySubgroup = decodeKernel(bySubgroupSource, true);

/** @param attend WGSL of the function of this name. */
function decodeKernel(attend: string, subgroups: boolean) {
  return kernel({
    label: "attention_decode",
    code: source + attend + attentionCommon + common,
    entry: "decode",
    bindings: {
      qkv: "read",
      rows: "read",
      first: "read",
      position: "read",
      cache: "update",
      out: "write",
    },
    params: { columns: "u32", heads: "u32", window: "u32", scale: "f32" },
    consts: { HEAD_SIZE: 32 },
    subgroups,
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [byWorkgroup, bySubgroup];

/**
 * Stores the key and value of one token of each sequence in a cache, and overwrites `out` with the attention of its
 * query to those in the cache; equal to the last row of `attentionForward` on the same columns up to rounding.
 *
 * A sequence attends to the columns of its row from the row's `first`, or the start of the window if that is later, to
 * `position`, inclusive, where its own key and value are put. A sequence whose first key lies after `position` gives zeros.
 *
 * @param pass Where the dispatch is recorded; nothing runs until it is submitted.
 * @param tensors.qkv (N, 3C), a token of each of N sequences.
 * @param tensors.rows (N) u32, which row of the cache each sequence has.
 * @param tensors.cache (B, Tmax, 2C), keys then values; the other columns are those of `kvStore` and of earlier tokens.
 * @param tensors.first (B) u32, the first column of each row of the cache that holds a key.
 * @param tensors.position (1) u32, column of the query. Read on the GPU, so that many steps fit in one submit.
 * @param tensors.out (N, C).
 * @param options As of `attentionForward`; always causal.
 * @throws {ShapeError} If the shapes differ or `heads` does not divide C.
 */
export function attentionDecode(
  pass: Pass,
  tensors: {
    qkv: Tensor;
    rows: Tensor<"u32">;
    cache: Tensor;
    first: Tensor<"u32">;
    position: Tensor<"u32">;
    out: Tensor;
  },
  options: Omit<AttentionOptions, "causal">,
): void {
  const { qkv, rows, cache, first, position, out } = tensors;
  const { heads, window = 0 } = options;
  const headSize = headSizeOf("attentionDecode", qkv, heads);
  const C = heads * headSize;
  const [B, columns] = cache.shape;
  const N = rows.size;
  expectRows("attentionDecode", "cache", cache, 2 * C);
  expectShape("attentionDecode", "cache", cache, [B, columns, 2 * C]);
  expectRows("attentionDecode", "qkv", qkv, 3 * C);
  expectSize("attentionDecode", "qkv", qkv, N * 3 * C);
  expectShape("attentionDecode", "first", first, [B]);
  expectShape("attentionDecode", "position", position, [1]);
  expectRows("attentionDecode", "out", out, C);
  expectSize("attentionDecode", "out", out, N * C);
  if (headSize % 4 !== 0) kvStore(pass, { qkv, rows, cache, position });
  const { gpu } = pass;
  const { subgroupSize, rowLanes } = gpu;
  const sizes = { groups: N * heads, T: columns, headSize };
  const bySubgroups = (options.way ?? attentionWay(gpu, "decode", sizes)) === "subgroup";
  const lanes = bySubgroups ? subgroupSize : Math.min(rowLanes, headRowsIn(8192, headSize));
  pass.dispatch(bySubgroups ? bySubgroup : byWorkgroup, {
    tensors,
    params: {
      columns,
      heads,
      window: window || columns,
      scale: options.scale ?? 1 / Math.sqrt(headSize),
    },
    constants: { WORKGROUP_SIZE: lanes },
    consts: { HEAD_SIZE: headSize },
    workgroups: [heads, N],
    flops: 4 * N * C * columns, // as if the cache were full
  });
}
