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

/** What is known of a response token since it was sampled: a row of `tokens` of {@linkcode ppoLoss}. */
export interface PpoToken {
  /** Of the policy that sampled it, nats. */
  oldLogprob: number;
  /** Of the reference, nats; only an estimated KL term needs it. */
  refLogprob: number;
  advantage: number;
  /** 1 / (response tokens of the whole optimizer batch); 0 masks the token, whatever its numbers are. */
  weight: number;
}

/** The numbers of {@linkcode PpoLossTensors.tokens}. */
export function packTokens(tokens: readonly PpoToken[]): number[] {
  return tokens.flatMap(({ oldLogprob, refLogprob, advantage, weight }) => [
    oldLogprob,
    refLogprob,
    advantage,
    weight,
  ]);
}

/** The tensors of {@linkcode ppoLoss} for N response tokens. */
export interface PpoLossTensors {
  /** (N) of the policy that is trained, nats. */
  logprobs: Tensor;
  /** (N) of the policy's distribution, nats. */
  entropy: Tensor;
  /** (N) exact KL to the reference, nats; needed for the term `full`. */
  kl?: Tensor | undefined;
  /** (N, 4) of {@linkcode packTokens}. */
  tokens: Tensor;
  /** (4) beta, then unused: numbers that change from step to step. */
  coefficients: Tensor;
  /** (N, 4) d loss / d logprob, d loss / d entropy, d loss / d kl, 0. */
  tokenGradients: Tensor;
  /** (16) statistics, see {@linkcode PPO_STATS}. */
  stats: Tensor;
}

const loss = kernel({
  label: "ppo_loss",
  code: source + estimators + common,
  entry: "ppo_loss",
  bindings: {
    logprobs: "read",
    entropy: "read",
    kl: "read?",
    tokens: "read",
    coefficients: "read",
    tokenGradients: "write",
    stats: "add",
  },
  params: { N: "u32", clipRange: "f32", entropyCoef: "f32" },
});

/**
 * The gradient of PPO's loss with respect to each token's log-probability, entropy and exact KL.
 *
 * The loss is the sum over tokens of `weight * (max(-A ratio, -A clip(ratio)) - c2 entropy + beta KL)`,
 * `ratio = exp(logprob - oldLogprob)` with the exponent kept within 20. Overwrites `tokenGradients`; adds to `stats`, whose
 * maxima are taken over what was there. NaN comes through.
 *
 * @throws {ShapeError} If the sizes differ or the term `full` lacks `kl`.
 *
 * Source: Schulman et al. 2017 (arXiv:1707.06347) equations 7 and 9; the statistics as TRL 0.11 defines them.
 */
export function ppoLoss(pass: Pass, tensors: PpoLossTensors, options: PpoLossOptions): void {
  const { clipRange, entropyCoef, klTerm } = options;
  const N = tensors.logprobs.size;
  const sizes = {
    entropy: N,
    kl: N,
    tokens: 4 * N,
    coefficients: 4,
    tokenGradients: 4 * N,
    stats: 16,
  };
  for (const [name, size] of Object.entries(sizes)) {
    const tensor = tensors[name as keyof typeof sizes];
    if (tensor) expectSize("ppoLoss", name, tensor, size);
  }
  const exact = klTerm === "full";
  const estimated = klTerm !== "none" && !exact;
  if (exact && !tensors.kl) throw new ShapeError("Cannot run ppoLoss: the term full needs kl");
  pass.dispatch(loss, {
    tensors: { ...tensors, kl: exact ? tensors.kl : undefined },
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
