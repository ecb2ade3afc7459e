import common from "./common.wgsl" with { type: "text" };
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";
import source from "./value_loss.wgsl" with { type: "text" };

/** Where {@linkcode valueLoss} leaves each statistic: means over the tokens by weight. */
export const VALUE_STATS = {
  /** The clipped loss, before its coefficient. */
  valueLoss: 0,
  /** Share of tokens where the clipped error is the larger. */
  clipFraction: 1,
  /** Squared error without clipping. */
  error: 2,
  mean: 3,
  meanSquare: 4,
  /** Sum of the weights. */
  weight: 5,
} as const;

/** The constants of {@linkcode valueLoss}. */
export interface ValueLossOptions {
  /** How far a value may move from the old one before the loss is that of the limit. */
  clipRange: number;
  /** c1, the weight of the value loss; it is in `dvalues`, not in the statistics. */
  valueCoef: number;
}

/** The tensors of {@linkcode valueLoss}: one number for each of N response tokens. */
export interface ValueLossTensors {
  values: Tensor;
  /** Of the policy that sampled. */
  oldValues: Tensor;
  returns: Tensor;
  /** 1 / (response tokens of the whole optimizer batch); 0 masks a token, whatever its numbers are. */
  weights: Tensor;
  dvalues: Tensor;
  /** (8) statistics, see {@linkcode VALUE_STATS}. */
  stats: Tensor;
}

const loss = kernel({
  label: "value_loss",
  code: source + common,
  entry: "value_loss",
  bindings: {
    values: "read",
    oldValues: "read",
    returns: "read",
    weights: "read",
    dvalues: "write",
    stats: "add",
  },
  params: { N: "u32", clipRange: "f32", valueCoef: "f32" },
});

/**
 * The gradient of the clipped value loss, `weight * 0.5 * max((V - R)^2, (clip(V, old +- range) - R)^2)`.
 *
 * Overwrites `dvalues`, which includes the coefficient; adds to `stats`, which does not.
 *
 * @throws {ShapeError} If the sizes differ.
 *
 * Source: openai/lm-human-preferences (Ziegler et al. 2019, arXiv:1909.08593), `PPOTrainer.loss`.
 */
export function valueLoss(pass: Pass, tensors: ValueLossTensors, options: ValueLossOptions): void {
  const N = tensors.values.size;
  const { stats, ...ofTokens } = tensors;
  for (const [name, tensor] of Object.entries(ofTokens)) expectSize("valueLoss", name, tensor, N);
  expectSize("valueLoss", "stats", stats, 8);
  pass.dispatch(loss, {
    tensors,
    params: { N, ...options },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [1],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [loss];
