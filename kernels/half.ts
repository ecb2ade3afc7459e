import common from "./common.wgsl" with { type: "text" };
import { rowsOf } from "./elements.ts";
import source from "./half.wgsl" with { type: "text" };
import embeddingSource from "./half_embedding.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Gpu,
  type Kernel,
  kernel,
  type Pass,
  sizeOf,
  Tensor,
} from "./runtime/mod.ts";

const [shrink, expand] = [
  kernel({
    label: "half_shrink",
    code: source + common,
    entry: "shrink",
    bindings: { x: "read", packed: "write" },
    params: { size: "u32" },
  }),
  kernel({
    label: "half_expand",
    code: source + common,
    entry: "expand",
    bindings: { halves: "read", out: "write" },
    params: { size: "u32" },
  }),
];

const embedding = kernel({
  label: "half_embedding",
  code: embeddingSource + common,
  entry: "forward",
  bindings: { ids: "read", positions: "read", wte: "read", wpe: "read", out: "write" },
  params: { N: "u32", C: "u32", first: "u32", count: "u32" },
});

/** Parts of rows begin at a multiple of this, so that they are aligned as bindings must be whatever C is. */
const ROW_STEP = 128;

/**
 * A matrix (R, C) of IEEE 754 half-precision numbers, for storage alone: kernels compute in 32 bits.
 *
 * Two numbers share a u32, so that every adapter can read them, with the feature `shader-f16` or without.
 */
export class HalfMatrix {
  constructor(
    readonly shape: readonly [rows: number, columns: number],
    /** (ceil(R C / 2)) */
    readonly halves: Tensor<"u32">,
  ) {}

  /** A matrix of zeros; freed by freeing its `halves`. */
  static empty(gpu: Gpu, [R, C]: readonly number[], label: string): HalfMatrix {
    return new HalfMatrix([R, C], gpu.empty([Math.ceil(R * C / 2)], "u32", label));
  }

  /** Rows `from`, a multiple of 128, to `to`; shares memory. */
  rows(from: number, to: number): HalfMatrix {
    const [, C] = this.shape;
    const { storage, offset } = this.halves;
    const words = [Math.ceil((to - from) * C / 2)];
    return new HalfMatrix([to - from, C], new Tensor(storage, offset + 2 * from * C, words, "u32"));
  }

  /** The rows in as few parts as have at most `bytes` each, of the numbers in 16 or, with `width` 4, in 32 bits. */
  shards(bytes: number, width: 2 | 4 = 2): { from: number; to: number }[] {
    const [R, C] = this.shape;
    const most = Math.floor(bytes / (width * C));
    if (R <= most) return [{ from: 0, to: R }];
    const step = ROW_STEP * Math.max(1, Math.floor(most / ROW_STEP));
    const shards = [];
    for (let from = 0; from < R; from += step) shards.push({ from, to: Math.min(R, from + step) });
    return shards;
  }
}

/**
 * Overwrites a matrix with `x` (R, C), rounded to the nearest and from the middle to the even one; finite numbers
 * that are too large become the largest, 65,504.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function shrinkToHalf(pass: Pass, { x, out }: { x: Tensor; out: HalfMatrix }): void {
  rowsOf("shrinkToHalf", { x });
  expectShape("shrinkToHalf", "x", x, out.shape);
  for (const { from, to } of out.shards(pass.gpu.bindingBytes, 4)) {
    const part = x.rows(from, to);
    const packed = out.rows(from, to).halves;
    pass.dispatch(shrink, { tensors: { x: part, packed }, ...perWord(part.size) });
  }
}

/**
 * Overwrites `out` (R, C) with the numbers of a matrix, each as it is; those below 2^-14 may become 0.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function expandHalf(pass: Pass, { x, out }: { x: HalfMatrix; out: Tensor }): void {
  rowsOf("expandHalf", { out });
  expectShape("expandHalf", "out", out, x.shape);
  for (const { from, to } of x.shards(pass.gpu.bindingBytes, 4)) {
    const part = out.rows(from, to);
    const { halves } = x.rows(from, to);
    pass.dispatch(expand, { tensors: { halves, out: part }, ...perWord(part.size) });
  }
}

/** The tensors of {@linkcode halfEmbedding}: N rows, C channels, V tokens, P positions. */
export interface HalfEmbeddingTensors {
  /** (N) token ids below V. */
  ids: Tensor<"u32">;
  /** (N) positions below P. */
  positions: Tensor<"u32">;
  /** (V, C), perhaps larger than one binding. */
  wte: HalfMatrix;
  /** (P, C) */
  wpe: HalfMatrix;
  /** (N, C) */
  out: Tensor;
}

/**
 * Overwrites `out` with `wte[id] + wpe[position]`; see `embeddingForward`.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function halfEmbedding(pass: Pass, tensors: HalfEmbeddingTensors): void {
  const { ids, positions, wte, wpe, out } = tensors;
  const operation = "halfEmbedding";
  const { N, C } = rowsOf(operation, { out });
  expectSize(operation, "ids", ids, N);
  expectSize(operation, "positions", positions, N);
  for (const [name, { shape, halves }] of Object.entries({ wte, wpe })) {
    expectSize(operation, name, halves, Math.ceil(sizeOf([shape[0], C]) / 2));
  }
  for (const { from, to } of wte.shards(pass.gpu.bindingBytes)) {
    pass.dispatch(embedding, {
      tensors: { ids, positions, wte: wte.rows(from, to).halves, wpe: wpe.halves, out },
      params: { N, C, first: from, count: to - from },
      constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
      workgroups: [N],
    });
  }
}

function perWord(size: number) {
  const lanes = 64;
  return {
    params: { size },
    constants: { WORKGROUP_SIZE: lanes },
    workgroups: [Math.ceil(size / 2 / lanes)] as const,
  };
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [shrink, expand, embedding];
