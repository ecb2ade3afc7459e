import type { GeluKind } from "./gelu.ts";
import geluFunctions from "./gelu_functions.wgsl" with { type: "text" };
import tiledSource from "./matmul.wgsl" with { type: "text" };
import blocksSource from "./matmul_blocks.wgsl" with { type: "text" };
import { BLOCK, choose, type MatmulChoice, type MatmulSizes } from "./matmul_choice.ts";
import * as fewColumns from "./matmul_few_columns.ts";
import stripsSource from "./matmul_strips.wgsl" with { type: "text" };
import * as tiles from "./matmul_tiles.ts";
import { BINDINGS, type Layout, PARAMS } from "./matmul_tiles.ts";
import vectors from "./matmul_vectors.wgsl" with { type: "text" };
import {
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  ShapeError,
  show,
  Tensor,
} from "./runtime/mod.ts";

/** A kernel of the tensors and sizes of {@linkcode matmul}. */
function productKernel(label: string, code: string, entry: string): tiles.MatmulKernel {
  const spec = { label, code: code + geluFunctions, entry };
  return kernel({ ...spec, bindings: BINDINGS, params: PARAMS });
}

const tiled = productKernel("matmul", tiledSource, "matmul");
const blocks = productKernel("matmul blocks", blocksSource + vectors, "multiply");
const strips = productKernel("matmul strips", stripsSource + vectors, "multiply_strip");

export const KERNELS: readonly Kernel[] = [
  ...[tiled, blocks, strips],
  ...tiles.KERNELS,
  ...fewColumns.KERNELS,
];

/** Tensors of {@linkcode matmul}; leading axes are flattened, so `(B, T, C)` is `(B * T, C)`. */
export interface MatmulTensors {
  /** `(M, K)`, or `(K, M)` in layout `tn`. May be a view of columns. */
  a: Tensor;
  /** `(K, N)`, or `(N, K)` in layout `nt`. May be a view of columns. */
  b: Tensor;
  /** `(M, N)`. May be a view of columns. */
  out: Tensor;
  /** `(N)`, added to every row. */
  bias?: Tensor | undefined;
  /** `(M, N)`, added after the activation. */
  residual?: Tensor | undefined;
  /** `(M, N)`, overwritten with the product and bias before the activation, which backward needs. */
  preactivation?: Tensor | undefined;
}

/** What {@linkcode matmul} computes beside a plain product. */
export interface MatmulOptions {
  /** `nn` (default) is A B, `nt` is A B^T, `tn` is A^T B. */
  layout?: Layout;
  /** Applied to the product and bias. */
  activation?: GeluKind;
  /** Add to `out` instead of overwriting it (default false). */
  accumulate?: boolean;
  /** Factor of the product (default 1). */
  scale?: number;
  /** For measurements, which must know that it fits: by default what suits the adapter and the sizes. */
  choice?: MatmulChoice;
}

/**
 * Matrix product with the element-wise steps that follow it in a transformer:
 * `out = activation(a b + bias) + residual`. Overwrites `out` and `preactivation`. A `scale`, and `accumulate`,
 * which adds to `out`, go with a plain product only: `out += scale a b`.
 *
 * A row of `out` depends on nothing but its row of `a` and on `b`: it has the same bits in a batch of any size.
 *
 * @throws {ShapeError} If shapes do not fit together, or a tensor exceeds the adapter's binding limit.
 */
export function matmul(pass: Pass, tensors: MatmulTensors, options: MatmulOptions = {}): void {
  const { a, b, out, bias, residual, preactivation } = tensors;
  const { layout = "nn", activation, accumulate = false, scale = 1 } = options;
  const [placedA, placedB, placedOut] = [a, b, out].map(place);
  const params = {
    ...checkedSizes(tensors, layout),
    aOffset: placedA.offset,
    bOffset: placedB.offset,
    outOffset: placedOut.offset,
    scale,
  };
  const isSum = !residual && !preactivation && !activation;
  if ((accumulate || scale !== 1) && (bias || !isSum)) {
    throw new ShapeError(
      "Cannot run matmul: accumulate and scale go with a plain product; leave out bias, residual and activation",
    );
  }
  const constants = {
    HAS_BIAS: Number(bias !== undefined),
    HAS_RESIDUAL: Number(residual !== undefined),
    HAS_PREACTIVATION: Number(preactivation !== undefined),
    ACTIVATION: activation === undefined ? 0 : activation === "gelu_new" ? 1 : 2,
    ACCUMULATE: Number(accumulate),
  };
  const bound = {
    a: placedA.tensor,
    b: placedB.tensor,
    bias,
    residual,
    out: placedOut.tensor,
    preactivation,
  };
  const { rows, columns } = params;
  const { gpu } = pass;
  const lanes = gpu.subgroupSize;
  const flops = 2 * rows * columns * params.depth;
  const transposed = {
    A_TRANSPOSED: Number(layout === "tn"),
    B_TRANSPOSED: Number(layout === "nt"),
  };
  const dispatch = (
    kernel: tiles.MatmulKernel,
    more: Readonly<Record<string, number>>,
    tile: { rows: number; columns: number },
    isRowsFirst = false,
  ) => {
    const [down, across] = [Math.ceil(rows / tile.rows), Math.ceil(columns / tile.columns)];
    return pass.dispatch(kernel, {
      tensors: bound,
      params,
      constants: { ...constants, ...more },
      workgroups: isRowsFirst ? [down, across] : [across, down],
      flops,
    });
  };
  const choice = options.choice ?? choose(gpu, layout, params, isSum);
  switch (choice.family) {
    case "few columns":
      return pass.dispatch(fewColumns.kernels[fewColumns.widthOf(params)], {
        tensors: { a: bound.a, b: bound.b, bias, out: bound.out },
        params,
        constants: {
          HAS_BIAS: constants.HAS_BIAS,
          ACCUMULATE: constants.ACCUMULATE,
          WORKGROUP_SIZE: gpu.rowLanes,
        },
        workgroups: [rows * columns],
        flops,
      });
    case "registers": {
      const tile = { rows: choice.height, columns: 4 * lanes };
      return dispatch(tiles.tileKernel(layout, lanes, choice), {}, tile, layout !== "tn");
    }
    case "strips":
      return dispatch(strips, {}, { rows: 4, columns: 16 });
    case "blocks":
      return dispatch(blocks, transposed, { rows: BLOCK, columns: BLOCK });
    case "squares": {
      const { side: SIDE } = choice;
      return dispatch(tiled, { SIDE, ...transposed }, { rows: 4 * SIDE, columns: 4 * SIDE });
    }
  }
}

/** Bindings begin at a multiple of so many bytes, whatever the adapter. */
const ALIGNMENT = 256;

/** A tensor to bind, and how many of its elements come before those of `tensor`, a view that may begin anywhere. */
function place(tensor: Tensor): { tensor: Tensor; offset: number } {
  const before = tensor.offset % ALIGNMENT;
  if (before === 0) return { tensor, offset: 0 };
  const flat = [(before + tensor.bytes) / 4];
  return {
    tensor: new Tensor(tensor.storage, tensor.offset - before, flat, "f32"),
    offset: before / 4,
  };
}

type Sizes = Omit<MatmulSizes, "aOffset" | "bOffset" | "outOffset" | "scale">;

function checkedSizes(tensors: MatmulTensors, layout: Layout): Sizes {
  const { a, b, out, bias, residual, preactivation } = tensors;
  const [rows, depth] = layout === "tn" ? [a.columnCount, a.rowCount] : [a.rowCount, a.columnCount];
  const [columns, depthOfB] = layout === "nt"
    ? [b.rowCount, b.columnCount]
    : [b.columnCount, b.rowCount];
  if (depth !== depthOfB || out.rowCount !== rows || out.columnCount !== columns) {
    throw new ShapeError(
      `Cannot run matmul: a ${show(a.shape)} and b ${show(b.shape)} in layout ${layout} ` +
        `do not give out ${show(out.shape)}`,
    );
  }
  if (bias) expectSize("matmul", "bias", bias, columns);
  for (const [name, tensor] of Object.entries({ residual, preactivation })) {
    if (!tensor) continue;
    expectSize("matmul", name, tensor, rows * columns);
    if (!tensor.contiguous) {
      throw new ShapeError(
        `Cannot run matmul: ${name} must be contiguous, it is a view of columns`,
      );
    }
  }
  return {
    rows,
    columns,
    depth,
    aStride: a.rowStride,
    bStride: b.rowStride,
    outStride: out.rowStride,
  };
}
