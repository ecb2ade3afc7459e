import source from "./pair_loss.wgsl" with { type: "text" };
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";

const loss = kernel({
  label: "pair_loss",
  code: source,
  entry: "pair_loss",
  bindings: { scores: "read", weights: "read", dscores: "write", losses: "write" },
  params: { P: "u32" },
});

/** The tensors of {@linkcode pairLoss}: P pairs. */
export interface PairLossTensors {
  /** (2, P) the scalar rewards of the chosen texts, then those of the rejected ones. */
  scores: Tensor;
  /** (P) factor of each pair's gradient, such as 1 / P; 0 masks a pair. */
  weights: Tensor;
  /** (2, P) */
  dscores: Tensor;
  /** (P) losses in nats, not weighted. */
  losses: Tensor;
}

/**
 * Overwrites `losses` with the Bradley-Terry loss `-log sigmoid(chosen - rejected)` and `dscores` with the
 * gradient of `sum(weights * losses)`.
 *
 * Only the difference of two scores matters to it, so scores may drift; `centring` adds
 * `centring * (chosen + rejected)^2` to the loss, which keeps them around 0. The gradient of a pair whose
 * weight is 0 is 0, whatever its scores.
 *
 * @throws {ShapeError} If the sizes differ.
 *
 * Source: Bradley & Terry 1952; Ouyang et al. 2022 (arXiv:2203.02155) equation 1; the centring of Eisenstein
 * et al. 2023 (arXiv:2312.09244), `center_rewards_coefficient` in TRL.
 */
export function pairLoss(
  pass: Pass,
  tensors: PairLossTensors,
  { centring = 0 }: { centring?: number } = {},
): void {
  const { scores, weights, dscores, losses } = tensors;
  const P = weights.size;
  expectSize("pairLoss", "scores", scores, 2 * P);
  expectSize("pairLoss", "dscores", dscores, 2 * P);
  expectSize("pairLoss", "losses", losses, P);
  const lanes = pass.gpu.rowLanes;
  pass.dispatch(loss, {
    tensors: { scores, weights, dscores, losses },
    params: { P },
    constants: { WORKGROUP_SIZE: lanes, CENTRING: centring },
    workgroups: [Math.ceil(P / lanes), 1],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [loss];
