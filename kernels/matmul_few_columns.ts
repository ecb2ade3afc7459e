/** Matrix products with very few columns, for which tiles would be mostly empty. */
import common from "./common.wgsl" with { type: "text" };
import { byWidth, type Width } from "./elements.ts";
import source from "./matmul_few_columns.wgsl" with { type: "text" };
import { type Layout, PARAMS } from "./matmul_tiles.ts";
import { type Kernel, kernel } from "./runtime/mod.ts";

/**
 * Products of up to three columns with B transposed: a head with few outputs, or the end of a vocabulary. For any
 * adapter; a workgroup for each element, which is a sum in an order of its own.
 */
export const kernels = byWidth((elements) =>
  kernel({
    label: "matmul few columns",
    code: source + elements + common,
    entry: "multiply",
    bindings: { a: "read", b: "read", bias: "read?", out: "update" },
    params: PARAMS,
  })
);

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = Object.values(kernels);

type Params = Readonly<Record<keyof typeof PARAMS, number>>;

/** Whether a product without activation, residual and preactivation is one for {@linkcode kernels}. */
export function fits(layout: Layout, { columns }: Params): boolean {
  return layout === "nt" && columns < 4;
}

/** The width in which {@linkcode kernels} can read both operands. */
export function widthOf({ depth, aStride, bStride, aOffset, bOffset }: Params): Width {
  return [depth, aStride, bStride, aOffset, bOffset].every((size) => size % 4 === 0) ? 4 : 1;
}
