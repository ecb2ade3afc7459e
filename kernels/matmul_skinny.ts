/** Matrix products with very few rows or very few columns, for which tiles would be mostly empty. */
import common from "./common.wgsl" with { type: "text" };
import { byWidth, type Width } from "./elements.ts";
import geluFunctions from "./gelu_functions.wgsl" with { type: "text" };
import fewColumnsSource from "./matmul_few_columns.wgsl" with { type: "text" };
import fewRowsSource from "./matmul_few_rows.wgsl" with { type: "text" };
import { BINDINGS, type Layout, PARAMS } from "./matmul_tiles.ts";
import vectors from "./matmul_vectors.wgsl" with { type: "text" };
import { type Kernel, kernel } from "./runtime/mod.ts";

/**
 * Products of one or two rows, nothing transposed: one token of one or two texts. For adapters with eight lanes, where
 * {@linkcode isFewRows}; takes what the register tiles take, a workgroup for 128 columns. An element has the same bits
 * as theirs.
 */
export const fewRowsKernel = kernel({
  label: "matmul few rows",
  code: fewRowsSource + vectors + geluFunctions,
  entry: "multiply",
  bindings: BINDINGS,
  params: PARAMS,
  subgroups: true,
});

/**
 * Products of up to three columns with B transposed: a head with few outputs, or the end of a vocabulary. For any
 * adapter; a workgroup for each element, which is a sum in an order of its own.
 */
export const fewColumnsKernel = byWidth((elements) =>
  kernel({
    label: "matmul few columns",
    code: fewColumnsSource + elements + common,
    entry: "multiply",
    bindings: { a: "read", b: "read", bias: "read?", out: "update" },
    params: PARAMS,
  })
);

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [fewRowsKernel, ...Object.values(fewColumnsKernel)];

type Params = Readonly<Record<keyof typeof PARAMS, number>>;

/** Whether a product that fits the register tiles is one for {@linkcode fewRowsKernel}. */
export function isFewRows(layout: Layout, { rows, depth }: Params, lanes: number): boolean {
  return layout === "nn" && rows <= 2 && depth % 16 === 0 && lanes === 8;
}

/** Whether a product without activation, residual and preactivation is one for {@linkcode fewColumnsKernel}. */
export function isFewColumns(layout: Layout, { columns }: Params): boolean {
  return layout === "nt" && columns < 4;
}

/** The width in which {@linkcode fewColumnsKernel} can read both operands. */
export function widthOf({ depth, aStride, bStride, aOffset, bOffset }: Params): Width {
  return [depth, aStride, bStride, aOffset, bOffset].every((size) => size % 4 === 0) ? 4 : 1;
}
