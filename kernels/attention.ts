import common from "./attention_common.wgsl" with { type: "text" };
import forwardSource from "./attention.wgsl" with { type: "text" };
import backwardSource from "./attention_backward.wgsl" with { type: "text" };
import { type AttentionOperation, type AttentionWay, attentionWay } from "./attention_choice.ts";
import { headRowsIn, headSizeOf } from "./attention_heads.ts";
import subgroupTile from "./attention_tile_subgroup.wgsl" with { type: "text" };
import workgroupTile from "./attention_tile_workgroup.wgsl" with { type: "text" };
import { expectRows } from "./elements.ts";
import { expectShape, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

/** How queries attend to keys. */
export interface AttentionOptions {
  /** Number of heads NH; it divides C. */
  heads: number;
  /** Whether a query sees only keys at its own column and before (default true). */
  causal?: boolean;
  /** How many columns back a query sees, its own included; 0, the default, for all. */
  window?: number;
  /** Factor of the scores before the softmax; 1 / sqrt(C / heads) by default. */
  scale?: number;
  /** For measurements, which must know that it fits: by default what suits the adapter and the sizes. */
  way?: AttentionWay;
}

/** Which of N tokens are a sequence: one sequence after another, without anything between. */
export interface Sequences {
  /** (B, 2) u32, the first token of each sequence and one past its last. */
  bounds: Tensor<"u32">;
  /** (B) tokens of each. */
  lengths: readonly number[];
}

const params = { N: "u32", heads: "u32", causal: "u32", window: "u32", scale: "f32" } as const;
const consts = { HEAD_SIZE: 64 };

const forward = byTile((tile, subgroups) =>
  kernel({
    label: "attention_forward",
    code: forwardSource + common + tile,
    entry: "forward",
    bindings: { qkv: "read", bounds: "read", out: "write", lse: "write" },
    params,
    consts,
    subgroups,
  })
);

const [backwardQueries, backwardKeys] = ["backward_queries", "backward_keys"].map((entry) =>
  byTile((tile, subgroups) =>
    kernel({
      label: `attention_${entry}`,
      code: backwardSource + common + tile,
      entry,
      bindings: {
        qkv: "read",
        bounds: "read",
        savedOut: "read",
        savedLse: "read",
        dout: "read",
        delta: "update",
        dqkv: "write",
      },
      params,
      consts,
      subgroups,
    })
  )
);

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backwardQueries, backwardKeys]
  .flatMap((kernels): Kernel[] => Object.values(kernels));

/**
 * Overwrites `out` with `softmax(scale * q k^T) v` for every head, and `lse` with the log of each softmax's
 * denominator.
 *
 * A token attends to those of its own sequence. A row's bits do not depend on other sequences. No (T, T) matrix is
 * stored, and keys that a `window` hides from all queries of a workgroup cost nothing.
 *
 * @param pass Where the dispatch is recorded; nothing runs until it is submitted.
 * @param tensors.qkv (N, 3C) queries, keys, values, each with the NH heads side by side.
 * @param tensors.out (N, C); keep it, and `lse`, for {@linkcode attentionBackward}.
 * @param tensors.lse (NH, N), nats.
 * @throws {ShapeError} If the shapes differ or `heads` does not divide C.
 *
 * Source: Dao et al. 2022, FlashAttention, algorithm 1, with the softmax kept unnormalised to the end.
 */
export function attentionForward(
  pass: Pass,
  { sequences, ...tensors }: { qkv: Tensor; sequences: Sequences; out: Tensor; lse: Tensor },
  options: AttentionOptions,
): void {
  const sizes = sizesOf("attentionForward", { sequences, ...tensors }, options);
  const { tile, product, ...dispatch } = plan(pass, "forward", sizes, options);
  const bound = { ...tensors, bounds: sequences.bounds };
  pass.dispatch(forward[tile], { tensors: bound, ...dispatch, flops: 2 * product });
}

/**
 * Overwrites all of `dqkv` with the gradient of a loss, given its gradient `dout` with respect to the output of
 * {@linkcode attentionForward}; zeros where nothing flows. Deterministic.
 *
 * @param tensors.qkv (N, 3C), as in the forward pass; so are `sequences`, `out` (N, C) and `lse` (NH, N).
 * @param tensors.dout (N, C).
 * @param tensors.delta (NH, N) scratch, overwritten.
 * @param tensors.dqkv (N, 3C).
 * @param options As in the forward pass.
 * @throws {ShapeError} If the shapes differ or `heads` does not divide C.
 *
 * Source: Dao et al. 2022, FlashAttention, appendix B.2.
 */
export function attentionBackward(
  pass: Pass,
  tensors: {
    qkv: Tensor;
    sequences: Sequences;
    out: Tensor;
    lse: Tensor;
    dout: Tensor;
    delta: Tensor;
    dqkv: Tensor;
  },
  options: AttentionOptions,
): void {
  const sizes = sizesOf("attentionBackward", tensors, options);
  const { qkv, sequences: { bounds }, out: savedOut, lse: savedLse, dout, delta, dqkv } = tensors;
  expectWhole("attentionBackward", "dout", dout, savedOut.shape);
  expectWhole("attentionBackward", "delta", delta, savedLse.shape);
  expectWhole("attentionBackward", "dqkv", dqkv, qkv.shape);
  const bound = { qkv, bounds, savedOut, savedLse, dout, delta, dqkv };
  const { tile, product, ...dispatch } = plan(pass, "backward", sizes, options);
  pass.dispatch(backwardQueries[tile], { tensors: bound, ...dispatch, flops: 3 * product });
  pass.dispatch(backwardKeys[tile], { tensors: bound, ...dispatch, flops: 4 * product });
}

interface Sizes {
  N: number;
  lengths: readonly number[];
  headSize: number;
}

function sizesOf(
  operation: string,
  { qkv, sequences, out, lse }: {
    qkv: Tensor;
    sequences: Sequences;
    out: Tensor;
    lse: Tensor;
  },
  { heads }: AttentionOptions,
): Sizes {
  const { bounds, lengths } = sequences;
  const N = lengths.reduce((sum, length) => sum + length, 0);
  const headSize = headSizeOf(operation, qkv, heads);
  const C = heads * headSize;
  expectWhole(operation, "qkv", qkv, [N, 3 * C]);
  expectShape(operation, "bounds", bounds, [lengths.length, 2]);
  expectWhole(operation, "out", out, [N, C]);
  expectWhole(operation, "lse", lse, [heads, N]);
  return { N, lengths, headSize };
}

/** Checks the shape of a tensor whose rows must follow each other without gaps. */
function expectWhole(
  operation: string,
  name: string,
  tensor: Tensor,
  shape: readonly number[],
): void {
  expectRows(operation, name, tensor, shape[shape.length - 1]);
  expectShape(operation, name, tensor, shape);
}

/** A kernel text with each of the two ways in which lanes share a tile of rows. */
function byTile<K>(make: (tile: string, subgroups: boolean) => K): { workgroup: K; subgroup: K } {
  return { workgroup: make(workgroupTile, false), subgroup: make(subgroupTile, true) };
}

/** The way to share a tile, and all of a dispatch but its tensors: a lane for each of the NH x N rows. */
function plan(
  { gpu }: Pass,
  operation: AttentionOperation,
  { N, lengths, headSize }: Sizes,
  options: AttentionOptions,
) {
  const { heads, causal = true, window = 0, scale = 1 / Math.sqrt(headSize) } = options;
  const B = lengths.length;
  const T = Math.max(...lengths);
  const tile = options.way ?? attentionWay(gpu, operation, { groups: B * heads, T, headSize });
  const lanes = tile === "subgroup" ? gpu.subgroupSize : gpu.software ? 32 : 64;
  const rows = Math.min(16, headRowsIn(4096, headSize)); // of each of the two tensors in a tile
  const pairsOf = (length: number) => { // of a query and a key
    const seen = Math.min(window || length, length);
    return causal ? length * seen - seen * (seen - 1) / 2 : length * length;
  };
  const pairs = lengths.reduce((sum, length) => sum + pairsOf(length), 0);
  return {
    tile,
    /** Floating-point operations of one product of queries and keys, for all heads. */
    product: 2 * heads * headSize * pairs,
    params: { N, heads, causal: Number(causal), window: Math.min(window || T, T), scale },
    constants: { WORKGROUP_SIZE: lanes, ...(tile === "workgroup" && { TILE: rows }) },
    consts: { HEAD_SIZE: headSize },
    workgroups: [Math.ceil(T / lanes), heads, B],
  } as const;
}
