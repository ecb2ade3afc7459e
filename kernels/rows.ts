import common from "./common.wgsl" with { type: "text" };
import { byWidth, expectRows, rowsOf } from "./elements.ts";
import source from "./rows.wgsl" with { type: "text" };
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

const [gather, scatter] = ["gather", "scatter"].map((entry) =>
  byWidth((elements) =>
    kernel({
      label: `${entry}_rows`,
      code: source + elements + common,
      entry,
      bindings: { source: "read", index: "read", out: "write" },
      params: { N: "u32", C: "u32" },
    })
  )
);

/** The tensors of {@linkcode gatherRows} and {@linkcode scatterRows}. */
export interface RowsTensors {
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
export function gatherRows(pass: Pass, { source, index, out }: RowsTensors): void {
  const { N, C, width } = rowsOf("gatherRows", { out });
  expectSize("gatherRows", "index", index, N);
  expectRows("gatherRows", "source", source, C);
  pass.dispatch(gather[width], {
    tensors: { source, index, out },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/**
 * Overwrites the rows of `out` (M, C) that `index` (N) names with the rows of `source` (N, C); the others
 * stay as they are. The rows named must be distinct and below M.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function scatterRows(pass: Pass, { source, index, out }: RowsTensors): void {
  const { N, C, width } = rowsOf("scatterRows", { source });
  expectSize("scatterRows", "index", index, N);
  expectRows("scatterRows", "out", out, C);
  pass.dispatch(scatter[width], {
    tensors: { source, index, out },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [gather, scatter]
  .flatMap((kernels): Kernel[] => Object.values(kernels));
