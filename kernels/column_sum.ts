import source from "./column_sum.wgsl" with { type: "text" };
import common from "./common.wgsl" with { type: "text" };
import { byWidth, rowsOf } from "./elements.ts";
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";
import { partialCount, sumPartials } from "./sum_partials.ts";

const firstStage = byWidth((elements) =>
  kernel({
    label: "column_sum",
    code: source + elements + common,
    entry: "column_sum",
    bindings: { x: "read", partials: "write" },
    params: { N: "u32", C: "u32" },
  })
);

/** Length P of the scratch tensor `partials` of {@linkcode columnSum} for this many rows. */
export const columnSumPartials: (rows: number) => number = partialCount;

/**
 * Adds to `out` (C) the sum of the rows of `x` (N, C), leading axes flattened: the gradient of a bias.
 * Overwrites `partials` (P, C), P = `columnSumPartials(N)`.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function columnSum(
  pass: Pass,
  { x, out, partials }: { x: Tensor; out: Tensor; partials: Tensor },
): void {
  const operation = "columnSum";
  const { N, C, width } = rowsOf(operation, { x });
  const P = columnSumPartials(N);
  expectSize(operation, "out", out, C);
  expectShape(operation, "partials", partials, [P, C]);
  const lanes = pass.gpu.rowLanes;
  pass.dispatch(firstStage[width], {
    tensors: { x, partials },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: lanes },
    workgroups: [Math.ceil(C / width / lanes), P],
  });
  sumPartials(pass, { partials: partials.view([P, 1, C]), out });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = Object.values(firstStage);
