import common from "./common.wgsl" with { type: "text" };
import source from "./peak.wgsl" with { type: "text" };
import {
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  ShapeError,
  type Tensor,
} from "./runtime/mod.ts";

const params = { count: "u32" } as const;

const multiplyAdd = kernel({
  label: "multiply_add",
  code: source + common,
  entry: "multiply_add",
  bindings: { factors: "read", out: "write" },
  params,
});

const copy = kernel({
  label: "stream_copy",
  code: source + common,
  entry: "stream_copy",
  bindings: { source: "read", copied: "write" },
  params,
});

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [multiplyAdd, copy];

const LANES = 64; // of the workgroups that multiply
const MULTIPLY_ADDS = 96; // of a lane in one round

/**
 * Overwrites `out` by chains of `x = x factor + addend` that stay in registers: the arithmetic that an adapter can do.
 *
 * @param tensors.factors (2) factor and addend.
 * @param tensors.out (N, 4), N a multiple of 64: one row a lane.
 * @param options.rounds Times that each lane takes eight steps in each of its twelve chains.
 * @returns Floating-point operations recorded.
 * @throws {ShapeError} If the shapes differ.
 */
export function multiplyAddChains(
  pass: Pass,
  { factors, out }: { factors: Tensor; out: Tensor },
  { rounds }: { rounds: number },
): number {
  expectSize("multiplyAddChains", "factors", factors, 2);
  if (out.size % (4 * LANES) !== 0) {
    throw new ShapeError(
      `Cannot run multiplyAddChains: out must have a multiple of ${4 * LANES} elements, ` +
        `current size is ${out.size}`,
    );
  }
  const flops = out.size / 4 * rounds * MULTIPLY_ADDS * 2;
  pass.dispatch(multiplyAdd, {
    tensors: { factors, out },
    params: { count: rounds },
    constants: { WORKGROUP_SIZE: LANES },
    workgroups: [out.size / 4 / LANES],
    flops,
  });
  return flops;
}

/**
 * Overwrites `copied` with `source`: the memory that an adapter can move.
 *
 * @param tensors.source Any shape, a multiple of four elements.
 * @throws {ShapeError} If the sizes differ.
 */
export function streamCopy(
  pass: Pass,
  tensors: { source: Tensor; copied: Tensor },
): void {
  const { size } = tensors.source;
  const { rowLanes: lanes, software } = pass.gpu;
  const VECTORS = software ? 32 : 8; // that a lane copies: beginning a workgroup costs a CPU more than many of them
  expectSize("streamCopy", "copied", tensors.copied, size);
  expectSize("streamCopy", "source", tensors.source, 4 * Math.ceil(size / 4));
  pass.dispatch(copy, {
    tensors,
    params: { count: size / 4 },
    constants: { WORKGROUP_SIZE: lanes, VECTORS },
    workgroups: [Math.ceil(size / 4 / VECTORS / lanes)],
  });
}
