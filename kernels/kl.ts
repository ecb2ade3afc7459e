import common from "./common.wgsl" with { type: "text" };
import source from "./kl.wgsl" with { type: "text" };
import estimateSource from "./kl_estimate.wgsl" with { type: "text" };
import estimators from "./kl_estimators.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";

/** Estimators of KL(policy || reference) from one sampled token; the index is `KL_TERM` in WGSL. */
export const KL_ESTIMATORS = ["k1", "k2", "k3", "abs"] as const;

/**
 * With d = log p - log q of the sampled token: `k1` is d, `k2` d^2 / 2, `k3` exp(-d) - 1 + d, `abs` |d|.
 * In `k3` the exponent -d is at most 20.
 *
 * Source: Schulman, "Approximating KL divergence" (joschu.net/blog/kl-approx.html); `abs` as in TRL 0.11.
 */
export type KlEstimator = typeof KL_ESTIMATORS[number];

const forward = kernel({
  label: "kl_forward",
  code: source + estimators + common,
  entry: "forward",
  bindings: {
    logits: "read",
    refLogits: "read",
    lse: "read",
    refLse: "read",
    kl: "write",
  },
  params: {
    N: "u32",
    V: "u32",
    logitsStride: "u32",
    refLogitsStride: "u32",
    temperature: "f32",
  },
});

const estimate = kernel({
  label: "kl_estimate",
  code: estimateSource + estimators,
  entry: "estimate",
  bindings: { logprobs: "read", refLogprobs: "read", kl: "write" },
  params: { N: "u32" },
});

/** The tensors of {@linkcode klForward}: N rows, V vocabulary. */
export interface KlTensors {
  /** (N, V) raw scores of the policy; rows may be padded. */
  logits: Tensor;
  /** (N, V) raw scores of the reference; rows may be padded. */
  refLogits: Tensor;
  /** (N) log-sum-exp of the policy's divided logits, of `tokenLogprobsForward`. */
  lse: Tensor;
  /** (N) the same of the reference. */
  refLse: Tensor;
  /** (N) KL, nats. */
  kl: Tensor;
}

/**
 * Overwrites `kl` with the exact KL(policy || reference) of `softmax(logits / temperature)`, in nats.
 *
 * It is 0 for equal logits and at no time below 0 by more than a rounding. The gradient is in
 * `tokenLogprobsBackward`.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function klForward(
  pass: Pass,
  tensors: KlTensors,
  { temperature }: { temperature: number },
): void {
  const { logits, refLogits, lse, refLse, kl } = tensors;
  const { rowCount: N, columnCount: V } = logits;
  expectShape("klForward", "refLogits", refLogits, logits.shape);
  for (const [name, tensor] of Object.entries({ lse, refLse, kl })) {
    expectSize("klForward", name, tensor, N);
  }
  pass.dispatch(forward, {
    tensors: { logits, refLogits, lse, refLse, kl },
    params: {
      N,
      V,
      logitsStride: logits.rowStride,
      refLogitsStride: refLogits.rowStride,
      temperature,
    },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/**
 * Overwrites `kl` (N) with an estimate of KL(policy || reference) for each token, in nats.
 *
 * @param tensors.logprobs (N) of the sampled tokens under the policy, nats.
 * @param tensors.refLogprobs (N) of the same tokens under the reference, nats.
 * @throws {ShapeError} If the sizes differ.
 */
export function klEstimate(
  pass: Pass,
  tensors: { logprobs: Tensor; refLogprobs: Tensor; kl: Tensor },
  { estimator }: { estimator: KlEstimator },
): void {
  const { logprobs, refLogprobs, kl } = tensors;
  const N = logprobs.size;
  expectSize("klEstimate", "refLogprobs", refLogprobs, N);
  expectSize("klEstimate", "kl", kl, N);
  pass.dispatch(estimate, {
    tensors: { logprobs, refLogprobs, kl },
    params: { N },
    constants: { KL_TERM: KL_ESTIMATORS.indexOf(estimator) },
    workgroups: [Math.ceil(N / 64)],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, estimate];
