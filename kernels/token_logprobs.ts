import common from "./common.wgsl" with { type: "text" };
import logSumExp from "./log_sum_exp.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  ShapeError,
  type Tensor,
} from "./runtime/mod.ts";
import source from "./token_logprobs.wgsl" with { type: "text" };
import backwardSource from "./token_logprobs_backward.wgsl" with { type: "text" };

const forward = kernel({
  label: "token_logprobs_forward",
  code: source + logSumExp + common,
  entry: "forward",
  bindings: {
    logits: "read",
    targets: "read",
    logprobs: "write",
    lse: "write",
    entropy: "write",
  },
  params: { N: "u32", V: "u32", logitsStride: "u32", temperature: "f32" },
});

const backward = kernel({
  label: "token_logprobs_backward",
  code: backwardSource + common,
  entry: "backward",
  bindings: {
    targets: "read",
    lse: "read",
    entropy: "read",
    tokenGradients: "read",
    refLogits: "read?",
    refLse: "read?",
    kl: "read?",
    logits: "update",
  },
  params: {
    N: "u32",
    V: "u32",
    logitsStride: "u32",
    refLogitsStride: "u32",
    temperature: "f32",
  },
});

/** The tensors of {@linkcode tokenLogprobsForward}: N rows, V vocabulary. */
export interface TokenLogprobsTensors {
  /** (N, V) raw scores; rows may be padded. */
  logits: Tensor;
  /** (N) token ids below V. */
  targets: Tensor<"u32">;
  /** (N) log-probability of the target, nats. */
  logprobs: Tensor;
  /** (N) log-sum-exp of the divided logits; keep it for the backward and the KL. */
  lse: Tensor;
  /** (N) entropy, nats; keep it for the backward. */
  entropy: Tensor;
}

/** The tensors of {@linkcode tokenLogprobsBackward}; the last three are all there or none. */
export interface TokenLogprobsGradientTensors {
  /** (N, V) the logits of the forward, then dlogits; rows may be padded. */
  logits: Tensor;
  /** (N) token ids below V. */
  targets: Tensor<"u32">;
  /** (N) of the forward. */
  lse: Tensor;
  /** (N) of the forward. */
  entropy: Tensor;
  /** (N, 4) d loss / d logprob, d loss / d entropy, d loss / d kl, unused: as `ppoLoss` leaves them. */
  tokenGradients: Tensor;
  /** (N, V) raw scores of the reference; rows may be padded. */
  refLogits?: Tensor | undefined;
  /** (N) log-sum-exp of the reference's divided logits. */
  refLse?: Tensor | undefined;
  /** (N) exact KL of `klForward`, nats. */
  kl?: Tensor | undefined;
}

/**
 * Overwrites `logprobs`, `lse` and `entropy` with those of `softmax(logits / temperature)`, in nats.
 *
 * One pass over the logits, safe for any finite f32.
 *
 * @throws {ShapeError} If the sizes differ.
 */
export function tokenLogprobsForward(
  pass: Pass,
  tensors: TokenLogprobsTensors,
  { temperature }: { temperature: number },
): void {
  const { logits, targets, logprobs, lse, entropy } = tensors;
  const { rowCount: N, columnCount: V, rowStride: logitsStride } = logits;
  for (const [name, tensor] of Object.entries({ targets, logprobs, lse, entropy })) {
    expectSize("tokenLogprobsForward", name, tensor, N);
  }
  pass.dispatch(forward, {
    tensors: { logits, targets, logprobs, lse, entropy },
    params: { N, V, logitsStride, temperature },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/**
 * Overwrites `logits` with the gradient of a loss with respect to them, before the division by `temperature`.
 *
 * What reaches the loss through the log-probabilities and the entropies always counts, what reaches it
 * through the exact KL(policy || reference) where the last three tensors are given. A row whose gradients are
 * all 0 gives 0, whatever its logits. Columns beyond V stay as they are.
 *
 * @throws {ShapeError} If the sizes differ, or some of the last three tensors are there and some are not.
 */
export function tokenLogprobsBackward(
  pass: Pass,
  tensors: TokenLogprobsGradientTensors,
  { temperature }: { temperature: number },
): void {
  const { logits, targets, lse, entropy, tokenGradients, refLogits, refLse, kl } = tensors;
  const { rowCount: N, columnCount: V, rowStride: logitsStride } = logits;
  for (const [name, tensor] of Object.entries({ targets, lse, entropy })) {
    expectSize("tokenLogprobsBackward", name, tensor, N);
  }
  expectSize("tokenLogprobsBackward", "tokenGradients", tokenGradients, 4 * N);
  const withKl = refLogits !== undefined;
  if (refLogits) expectShape("tokenLogprobsBackward", "refLogits", refLogits, logits.shape);
  for (const [name, tensor] of Object.entries({ refLse, kl })) {
    if ((tensor !== undefined) !== withKl) {
      throw new ShapeError(
        "Cannot run tokenLogprobsBackward: " +
          `${name} and refLogits must both be given or both be left out`,
      );
    }
    if (tensor) expectSize("tokenLogprobsBackward", name, tensor, N);
  }
  pass.dispatch(backward, {
    tensors: { targets, lse, entropy, tokenGradients, refLogits, refLse, kl, logits },
    params: { N, V, logitsStride, refLogitsStride: refLogits?.rowStride ?? 0, temperature },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes, WITH_KL: Number(withKl) },
    workgroups: [N],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backward];
