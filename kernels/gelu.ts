import common from "./common.wgsl" with { type: "text" };
import { rowsOf } from "./elements.ts";
import source from "./gelu.wgsl" with { type: "text" };
import functions from "./gelu_functions.wgsl" with { type: "text" };
import { type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

const forward = kernel({
  label: "gelu_forward",
  code: source + functions + common,
  entry: "forward",
  bindings: { x: "read", out: "write" },
  params: { size: "u32" },
});

const backward = kernel({
  label: "gelu_backward",
  code: source + functions + common,
  entry: "backward",
  bindings: { x: "read", dout: "update" },
  params: { size: "u32" },
});

/** `gelu_new` is GPT-2's tanh approximation, `gelu` is x times the normal distribution function. */
export type GeluKind = "gelu_new" | "gelu";

/**
 * Overwrites `out` with the Gaussian error linear unit of `x`, element by element.
 *
 * @throws {ShapeError} If the shapes differ.
 *
 * Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415), section 2.
 */
export function geluForward(
  pass: Pass,
  { x, out }: { x: Tensor; out: Tensor },
  { kind }: { kind: GeluKind },
): void {
  rowsOf("geluForward", { x, out });
  pass.dispatch(forward, { tensors: { x, out }, ...perElement(x, kind) });
}

/**
 * Multiplies `dout` in place by the derivative at `x`, the input of {@linkcode geluForward}: out comes dx.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function geluBackward(
  pass: Pass,
  { x, dout }: { x: Tensor; dout: Tensor },
  { kind }: { kind: GeluKind },
): void {
  rowsOf("geluBackward", { x, dout });
  pass.dispatch(backward, { tensors: { x, dout }, ...perElement(x, kind) });
}

function perElement({ size }: Tensor, kind: GeluKind) {
  const lanes = 64;
  return {
    params: { size },
    constants: { WORKGROUP_SIZE: lanes, EXACT: Number(kind === "gelu") },
    workgroups: [Math.ceil(size / 4 / lanes)] as const,
  };
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backward];
