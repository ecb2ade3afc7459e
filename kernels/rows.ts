import common from "./common.wgsl" with { type: "text" };
import { byWidth, expectRows, rowsOf, type Width } from "./elements.ts";
import source from "./rows.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";

const [gather, scatter] = ["gather", "scatter"].map((entry) =>
  byWidth((elements) =>
    kernel({
      label: `${entry}_rows`,
      code: source + elements + common,
      entry,
      bindings: { source: "read", index: "read", out: "write" },
      params: { N: "u32", C: "u32", sourceStride: "u32" },
    })
  )
);

/** The tensors of {@linkcode gatherRows} and {@linkcode scatterRows}. */
export interface RowsTensors {
  /** May be a view of columns. */
  source: Tensor;
  /** (N) */
  index: Tensor<"u32">;
  out: Tensor;
}

/**
 * Overwrites `out` (N, C) with the rows of `source` (M, C) that `index` (N) names; each must be below M.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function gatherRows(pass: Pass, tensors: RowsTensors): void {
  const { source, index, out } = tensors;
  const { N, C } = rowsOf("gatherRows", { out });
  expectSize("gatherRows", "index", index, N);
  expectShape("gatherRows", "source", source, [source.rowCount, C]);
  pass.dispatch(gather[widthOf(source)], plan(pass, tensors, N));
}

/**
 * Overwrites the rows of `out` (M, C) that `index` (N) names with the rows of `source` (N, C); the others
 * stay as they are. The rows named must be distinct and below M.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function scatterRows(pass: Pass, tensors: RowsTensors): void {
  const { source, index, out } = tensors;
  const { rowCount: N, columnCount: C } = source;
  expectSize("scatterRows", "index", index, N);
  expectRows("scatterRows", "out", out, C);
  pass.dispatch(scatter[widthOf(source)], plan(pass, tensors, N));
}

function widthOf({ columnCount, rowStride }: Tensor): Width {
  return columnCount % 4 === 0 && rowStride % 4 === 0 ? 4 : 1;
}

/** All of a dispatch but its kernel: a workgroup for each of N rows. */
function plan({ gpu }: Pass, tensors: RowsTensors, N: number) {
  const { source } = tensors;
  const width = widthOf(source);
  return {
    tensors,
    params: { N, C: source.columnCount / width, sourceStride: source.rowStride / width },
    constants: { WORKGROUP_SIZE: gpu.rowLanes },
    workgroups: [N],
  } as const;
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [gather, scatter]
  .flatMap((kernels): Kernel[] => Object.values(kernels));
