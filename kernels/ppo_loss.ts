import common from "./common.wgsl" with { type: "text" };
import { KL_ESTIMATORS, type KlEstimator } from "./kl.ts";
import estimators from "./kl_estimators.wgsl" with { type: "text" };
import source from "./ppo_loss.wgsl" with { type: "text" };
import {
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  ShapeError,
  type Tensor,
} from "./runtime/mod.ts";

/** Where {@linkcode ppoLoss} leaves each statistic: means over the tokens by weight, where not said. */
export const PPO_STATS = {
  /** The clipped policy loss. */
  policyLoss: 0,
  /** Shannon entropy, nats. */
  entropy: 1,
  /** The KL term before beta, nats; 0 without one. */
  klTerm: 2,
  /** Share of tokens where the clipped term is the larger. */
  clipFraction: 3,
  /** Half the squared log-ratio. */
  approxKl: 4,
  /** Old minus new log-probability, nats. */
  policyKl: 5,
  ratio: 6,
  ratioSquared: 7,
  /** Sum of the weights. */
  weight: 8,
  /** Largest ratio. */
  ratioMax: 9,
  /** Largest |log ratio|. */
  logRatioMax: 10,
} as const;

/** The KL that is added to the loss: none, the exact one, or an estimate. */
export type KlTerm = "none" | "full" | KlEstimator;

/** The constants of {@linkcode ppoLoss}. */
export interface PpoLossOptions {
  /** Epsilon of the clipped surrogate. */
  clipRange: number;
  /** c2, the weight of the entropy bonus. */
  entropyCoef: number;
  klTerm: KlTerm;
}

/** The tensors of {@linkcode ppoLoss}: one number for each of N response tokens, nats. */
export interface PpoLossTensors {
  /** Of the policy that is trained. */
  logprobs: Tensor;
  /** Of the policy that sampled. */
  oldLogprobs: Tensor;
  advantages: Tensor;
  /** Entropy of the policy's distribution. */
  entropy: Tensor;
  /** 1 / (response tokens of the whole optimizer batch); 0 masks a token, whatever its numbers are. */
  weights: Tensor;
  /** (4) beta, then unused: numbers that change from step to step. */
  coefficients: Tensor;
  /** Exact KL to the reference; needed for the term `full`. */
  kl?: Tensor | undefined;
  /** Of the reference; needed for an estimated term. */
  refLogprobs?: Tensor | undefined;
  dlogprobs: Tensor;
  dentropy: Tensor;
  dkl: Tensor;
  /** (16) statistics, see {@linkcode PPO_STATS}. */
  stats: Tensor;
}

const loss = kernel({
  label: "ppo_loss",
  code: source + estimators + common,
  entry: "ppo_loss",
  bindings: {
    logprobs: "read",
    oldLogprobs: "read",
    advantages: "read",
    entropy: "read",
    weights: "read",
    coefficients: "read",
    kl: "read?",
    refLogprobs: "read?",
    dlogprobs: "write",
    dentropy: "write",
    dkl: "write",
    stats: "add",
  },
  params: { N: "u32", clipRange: "f32", entropyCoef: "f32" },
});

/**
 * The gradient of PPO's loss with respect to each token's log-probability, entropy and exact KL.
 *
 * The loss is the sum over tokens of `weight * (max(-A ratio, -A clip(ratio)) - c2 entropy + beta KL)`,
 * `ratio = exp(logprob - oldLogprob)` with the exponent kept within 20. Overwrites `dlogprobs`, `dentropy`
 * and `dkl`; adds to `stats`, whose maxima are taken over what was there. NaN comes through.
 *
 * @throws {ShapeError} If the sizes differ or the KL term lacks its tensor.
 *
 * Source: Schulman et al. 2017 (arXiv:1707.06347) equations 7 and 9; the statistics as TRL 0.11 defines them.
 */
export function ppoLoss(pass: Pass, tensors: PpoLossTensors, options: PpoLossOptions): void {
  const { clipRange, entropyCoef, klTerm } = options;
  const N = tensors.logprobs.size;
  const { coefficients, stats, ...ofTokens } = tensors;
  for (const [name, tensor] of Object.entries(ofTokens)) {
    if (tensor) expectSize("ppoLoss", name, tensor, N);
  }
  expectSize("ppoLoss", "coefficients", coefficients, 4);
  expectSize("ppoLoss", "stats", stats, 16);
  const exact = klTerm === "full";
  const estimated = klTerm !== "none" && !exact;
  if (exact && !tensors.kl) throw new ShapeError("Cannot run ppoLoss: the term full needs kl");
  if (estimated && !tensors.refLogprobs) {
    throw new ShapeError(`Cannot run ppoLoss: the term ${klTerm} needs refLogprobs`);
  }
  pass.dispatch(loss, {
    tensors: {
      ...tensors,
      kl: exact ? tensors.kl : undefined,
      refLogprobs: estimated ? tensors.refLogprobs : undefined,
    },
    params: { N, clipRange, entropyCoef },
    constants: {
      WORKGROUP_SIZE: pass.gpu.rowLanes,
      KL_SOURCE: exact ? 1 : estimated ? 2 : 0,
      KL_TERM: estimated ? KL_ESTIMATORS.indexOf(klTerm) : 0,
    },
    workgroups: [1],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [loss];
