import common from "./common.wgsl" with { type: "text" };
import source from "./cross_entropy.wgsl" with { type: "text" };
import logSumExp from "./log_sum_exp.wgsl" with { type: "text" };
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

const fused = kernel({
  label: "cross_entropy",
  code: source + logSumExp + common,
  entry: "cross_entropy",
  bindings: { targets: "read", weights: "read", logits: "update", losses: "write" },
  params: { N: "u32", V: "u32", logitsStride: "u32" },
});

/** The tensors of {@linkcode crossEntropy}: N rows, V vocabulary. */
export interface CrossEntropyTensors {
  /** (N, V) logits, then dlogits; rows may be padded. */
  logits: Tensor;
  /** (N) token ids below V. */
  targets: Tensor<"u32">;
  /** (N) factor of each row's gradient, such as 1 / (number of target tokens); 0 masks a row. */
  weights: Tensor;
  /** (N) losses in nats, not weighted. */
  losses: Tensor;
}

/**
 * Overwrites `losses` with `-sum(q log softmax(logits))` and `logits` with the gradient of
 * `sum(weights * losses)`, forward and backward in one.
 *
 * `q` is 1 at the target; with label smoothing, `1 - labelSmoothing` there and `labelSmoothing / V` more in
 * every column. The gradient of a row whose weight is 0 is 0, whatever its logits. Columns beyond V stay as
 * they are.
 *
 * @param options.labelSmoothing From 0, the default, to below 1.
 * @throws {ShapeError} If the sizes differ.
 *
 * Source of label smoothing: Szegedy et al. 2016 (arXiv:1512.00567) section 7.
 */
export function crossEntropy(
  pass: Pass,
  tensors: CrossEntropyTensors,
  { labelSmoothing = 0 }: { labelSmoothing?: number } = {},
): void {
  const { logits, targets, weights, losses } = tensors;
  const { rowCount: N, columnCount: V, rowStride: logitsStride } = logits;
  expectSize("crossEntropy", "targets", targets, N);
  expectSize("crossEntropy", "weights", weights, N);
  expectSize("crossEntropy", "losses", losses, N);
  pass.dispatch(fused, {
    tensors: { logits, targets, weights, losses },
    params: { N, V, logitsStride },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes, SMOOTHING: labelSmoothing },
    workgroups: [N],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [fused];
