import common from "./common.wgsl" with { type: "text" };
import source from "./global_norm.wgsl" with { type: "text" };
import {
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  ShapeError,
  show,
  type Tensor,
} from "./runtime/mod.ts";

const sumSquares = kernel({
  label: "global_norm_squares",
  code: source + common,
  entry: "sum_squares",
  bindings: { grads: "read", squares: "write" },
  params: { count: "u32" },
});

const finish = kernel({
  label: "global_norm_finish",
  code: source + common,
  entry: "finish",
  bindings: { partials: "read", norm: "write" },
  params: { count: "u32" },
});

/** Length of the scratch tensor `partials` of {@linkcode globalNorm} for these gradients. */
export function globalNormPartials(grads: readonly Tensor[]): number {
  return grads.reduce((sum, { size }) => sum + groupsOf(size), 0);
}

/** Workgroups for a range: 4,096 numbers each, and a multiple of 64, so that the partial sums stay aligned. */
function groupsOf(size: number): number {
  return 64 * Math.min(32, Math.ceil(size / (64 * 4096)));
}

/** The tensors of {@linkcode globalNorm}. */
export interface GlobalNormTensors {
  /** Flat ranges whose sizes are multiples of 64, each within one binding. */
  grads: readonly Tensor[];
  /** (P) scratch, overwritten; P = `globalNormPartials(grads)`. */
  partials: Tensor;
  /** (4): the norm before clipping; the clip coefficient; 1 if the norm is finite, else 0; 0. */
  norm: Tensor;
}

/**
 * Overwrites `norm` with the Euclidean norm over all gradients, and what it means for an optimizer step.
 *
 * The clip coefficient is `min(1, maxNorm / (norm + 1e-6))`, or 0 where the norm is not finite. A sum of
 * squares beyond f32, that is a norm above 1.8e19, counts as not finite.
 *
 * @param options.maxNorm The gradients are to be scaled down to this norm; 0 for no clipping.
 * @throws {ShapeError} If a size is wrong.
 *
 * Source: torch.nn.utils.clip_grad_norm_.
 */
export function globalNorm(
  pass: Pass,
  { grads, partials, norm }: GlobalNormTensors,
  { maxNorm }: { maxNorm: number },
): void {
  expectSize("globalNorm", "partials", partials, globalNormPartials(grads));
  expectSize("globalNorm", "norm", norm, 4);
  const constants = { WORKGROUP_SIZE: pass.gpu.rowLanes };
  let start = 0;
  for (const range of grads) {
    expectFlatRange("globalNorm", "grads", range);
    const groups = groupsOf(range.size);
    pass.dispatch(sumSquares, {
      tensors: { grads: range, squares: partials.rows(start, start + groups) },
      params: { count: range.size / 4 },
      constants,
      workgroups: [groups],
    });
    start += groups;
  }
  pass.dispatch(finish, {
    tensors: { partials, norm },
    params: { count: start },
    constants: { ...constants, MAX_NORM: maxNorm },
    workgroups: [1],
  });
}

/** Checks a flat range of parameters. @throws {ShapeError} If its size is not a multiple of 64. */
export function expectFlatRange(operation: string, name: string, range: Tensor): void {
  if (range.size % 64 !== 0 || !range.contiguous) {
    throw new ShapeError(
      `Cannot run ${operation}: ${name} ${
        show(range.shape)
      } must have a multiple of 64 elements; ` +
        "pad it with zeros",
    );
  }
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [sumSquares, finish];
