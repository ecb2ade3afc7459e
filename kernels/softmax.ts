import common from "./common.wgsl" with { type: "text" };
import { byWidth, rowsOf } from "./elements.ts";
import { type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";
import source from "./softmax.wgsl" with { type: "text" };

const forward = byWidth((elements) =>
  kernel({
    label: "softmax_forward",
    code: source + elements + common,
    entry: "forward",
    bindings: { x: "read", out: "write" },
    params: { N: "u32", C: "u32" },
  })
);

const backward = byWidth((elements) =>
  kernel({
    label: "softmax_backward",
    code: source + elements + common,
    entry: "backward",
    bindings: { savedOut: "read", dout: "read", dx: "write" },
    params: { N: "u32", C: "u32" },
  })
);

/**
 * Overwrites `out` with `exp(x) / sum(exp(x))` over the last axis.
 *
 * Subtracts the largest of the row first, so any finite numbers are safe.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function softmaxForward(pass: Pass, { x, out }: { x: Tensor; out: Tensor }): void {
  const { N, C, width } = rowsOf("softmaxForward", { x, out });
  pass.dispatch(forward[width], {
    tensors: { x, out },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/**
 * Overwrites `dx` with `out * (dout - sum(out * dout))` over the last axis: the gradient to the input of
 * {@linkcode softmaxForward}, whose result `out` is.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function softmaxBackward(
  pass: Pass,
  { out: savedOut, dout, dx }: { out: Tensor; dout: Tensor; dx: Tensor },
): void {
  const { N, C, width } = rowsOf("softmaxBackward", { out: savedOut, dout, dx });
  pass.dispatch(backward[width], {
    tensors: { savedOut, dout, dx },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backward]
  .flatMap((kernels): Kernel[] => Object.values(kernels));
