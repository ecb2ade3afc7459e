import source from "./adamw.wgsl" with { type: "text" };
import advanceSource from "./adamw_advance.wgsl" with { type: "text" };
import common from "./common.wgsl" with { type: "text" };
import { expectFlatRange } from "./global_norm.ts";
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

const advance = kernel({
  label: "adamw_advance",
  code: advanceSource,
  entry: "advance",
  bindings: { norm: "read", state: "update" },
  params: { beta1: "f32", beta2: "f32", oneMinusBeta1: "f32", oneMinusBeta2: "f32" },
});

const update = kernel({
  label: "adamw",
  code: source + common,
  entry: "update",
  bindings: {
    grads: "read",
    norm: "read",
    state: "read",
    learningRate: "read",
    values: "update",
    m: "update",
    v: "update",
  },
  params: {
    count: "u32",
    beta1: "f32",
    beta2: "f32",
    oneMinusBeta1: "f32",
    oneMinusBeta2: "f32",
    epsilon: "f32",
    weightDecay: "f32",
  },
});

/** Decay of the two moments. */
export interface Betas {
  beta1: number;
  beta2: number;
}

/** Settings of {@linkcode adamw}. */
export interface AdamwOptions extends Betas {
  /** Added to the root of the second moment. */
  epsilon: number;
  /** Decoupled decay, times the learning rate. */
  weightDecay: number;
}

/**
 * Updates `state` (4) at the start of an optimizer step: steps taken, `1 - beta1^t`, `1 - beta2^t`, 0.
 *
 * It starts as zeros. It stays as it is where `norm` (4) of `globalNorm` says that the gradient is not finite.
 *
 * @throws {ShapeError} If a size is wrong.
 */
export function adamwAdvance(
  pass: Pass,
  { norm, state }: { norm: Tensor; state: Tensor },
  { beta1, beta2 }: Betas,
): void {
  expectSize("adamwAdvance", "norm", norm, 4);
  expectSize("adamwAdvance", "state", state, 4);
  pass.dispatch(advance, {
    tensors: { norm, state },
    params: decays({ beta1, beta2 }),
    workgroups: [1],
  });
}

/** The tensors of {@linkcode adamw}: one flat range of n parameters, n a multiple of 64. */
export interface AdamwTensors {
  /** (n) */
  params: Tensor;
  /** (n) before clipping. */
  grads: Tensor;
  /** (n) first moment. */
  m: Tensor;
  /** (n) second moment. */
  v: Tensor;
  /** (4) of `globalNorm`. */
  norm: Tensor;
  /** (4) of {@linkcode adamwAdvance}, already advanced. */
  state: Tensor;
  /** (1) */
  learningRate: Tensor;
}

/**
 * Updates `params`, `m` and `v` by one AdamW step on the clipped gradient.
 *
 * Where `norm` says that the gradient is not finite, all three stay as they are.
 *
 * @throws {ShapeError} If a size is wrong.
 *
 * Source: Loshchilov & Hutter 2019 (arXiv:1711.05101) algorithm 2, as torch.optim.AdamW has it: the decay is
 * times the learning rate, epsilon is added to the root of the corrected second moment.
 */
export function adamw(pass: Pass, tensors: AdamwTensors, options: AdamwOptions): void {
  const { params: values, grads, m, v, norm, state, learningRate } = tensors;
  const { epsilon, weightDecay } = options;
  const { size } = values;
  expectFlatRange("adamw", "params", values);
  expectSize("adamw", "grads", grads, size);
  expectSize("adamw", "m", m, size);
  expectSize("adamw", "v", v, size);
  expectSize("adamw", "norm", norm, 4);
  expectSize("adamw", "state", state, 4);
  expectSize("adamw", "learningRate", learningRate, 1);
  const { rowLanes: WORKGROUP_SIZE, software } = pass.gpu;
  // On software Vulkan beginning a workgroup takes as long as several rounds; a GPU wants many of them.
  const ROUNDS = software ? 32 : 1;
  const count = size / 4;
  pass.dispatch(update, {
    tensors: { grads, norm, state, learningRate, values, m, v },
    params: { count, ...decays(options), epsilon, weightDecay },
    constants: { WORKGROUP_SIZE, ROUNDS },
    workgroups: [Math.ceil(count / WORKGROUP_SIZE / ROUNDS)],
  });
}

/** The betas and their complements, taken in f64: from f32's 0.999 the complement is off by a part in 80,000. */
function decays({ beta1, beta2 }: Betas) {
  return { beta1, beta2, oneMinusBeta1: 1 - beta1, oneMinusBeta2: 1 - beta2 };
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [advance, update];
