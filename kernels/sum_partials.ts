import common from "./common.wgsl" with { type: "text" };
import { byWidth, type Width } from "./elements.ts";
import { expectShape, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";
import source from "./sum_partials.wgsl" with { type: "text" };

const sum = byWidth((elements) =>
  kernel({
    label: "sum_partials",
    code: source + elements + common,
    entry: "sum_partials",
    bindings: { partials: "read", out: "add" },
    params: { P: "u32", C: "u32", stride: "u32", start: "u32" },
  })
);

/** Partial sums P that a sum over `rows` rows is made of: enough to fill a GPU, few enough to add up at once. */
export function partialCount(rows: number): number {
  return Math.min(64, Math.ceil(rows / 16));
}

/**
 * Adds to `out` (C) the sum over the first axis of `partials` (P, K, C) at `slice` of its second.
 *
 * The order of the sum is fixed, so the same partials give the same bits.
 *
 * @throws {ShapeError} If `partials` is not (P, K, C).
 */
export function sumPartials(
  pass: Pass,
  { partials, out }: { partials: Tensor; out: Tensor },
  { slice = 0 } = {},
): void {
  const [P, K] = partials.shape;
  const C = out.size;
  expectShape("sumPartials", "partials", partials, [P, K, C]);
  const width: Width = C % 4 === 0 ? 4 : 1;
  const lanes = pass.gpu.rowLanes;
  pass.dispatch(sum[width], {
    tensors: { partials, out },
    params: { P, C: C / width, stride: K * C / width, start: slice * C / width },
    constants: { WORKGROUP_SIZE: lanes },
    workgroups: [Math.ceil(C / width / lanes)],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = Object.values(sum);
