import common from "./common.wgsl" with { type: "text" };
import { rowsOf } from "./elements.ts";
import source from "./relu.wgsl" with { type: "text" };
import { type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

const code = source + common;

const forward = kernel({
  label: "relu_forward",
  code,
  entry: "forward",
  bindings: { x: "update" },
  params: { size: "u32" },
});

const backward = kernel({
  label: "relu_backward",
  code,
  entry: "backward",
  bindings: { savedOut: "read", dout: "update" },
  params: { size: "u32" },
});

/**
 * Overwrites `x` with `max(x, 0)`, element by element; NaN stays NaN.
 *
 * @throws {ShapeError} If `x` has gaps between its rows.
 */
export function reluForward(pass: Pass, { x }: { x: Tensor }): void {
  rowsOf("reluForward", { x });
  pass.dispatch(forward, { tensors: { x }, ...perElement(x) });
}

/**
 * Overwrites `dout` with 0 where {@linkcode reluForward} left 0 in `out`: out comes dx. The slope at 0 is 0,
 * as PyTorch has it.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function reluBackward(pass: Pass, { out, dout }: { out: Tensor; dout: Tensor }): void {
  rowsOf("reluBackward", { out, dout });
  pass.dispatch(backward, { tensors: { savedOut: out, dout }, ...perElement(out) });
}

function perElement({ size }: Tensor) {
  const lanes = 64;
  return {
    params: { size },
    constants: { WORKGROUP_SIZE: lanes },
    workgroups: [Math.ceil(size / lanes)] as const,
  };
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backward];
