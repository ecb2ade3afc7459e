/** What the loss sees of every token, flattened; tokens outside the mask may hold anything. */
export interface PolicyLossInputs {
  logprobs: ArrayLike<number>; // (N) nats, of the policy that is trained
  oldLogprobs: ArrayLike<number>; // (N) nats, of the policy that sampled
  advantages: ArrayLike<number>; // (N)
  mask: ArrayLike<number>; // (N) 1 on response tokens
  entropy?: ArrayLike<number>; // (N) nats
  kl?: ArrayLike<number>; // (N) nats, any estimator
}

export interface PolicyLossOptions {
  clipRange: number;
  /** Weight of the entropy bonus, which is subtracted. */
  entropyCoef?: number;
  /** Weight of the KL term, which is added. */
  klCoef?: number;
  /** Weight of one token; 1 / (tokens in the mask) when absent. */
  tokenWeight?: number;
}

export interface PolicyLossResult {
  /** `policyLoss - entropyCoef * entropy + klCoef * kl`. */
  loss: number;
  policyLoss: number;
  entropy: number;
  kl: number;
  /** Share of tokens where the clipped term is strictly the larger. */
  clipFraction: number;
  /** Mean of `(logprob - old)^2 / 2`. */
  approxKl: number;
  /** Mean of `old - logprob`. */
  policyKl: number;
  ratioMean: number;
  ratioMax: number;
  dlogprobs: number[]; // (N) d loss / d logprobs
  dentropy: number[]; // (N)
  dkl: number[]; // (N)
}

/**
 * PPO's clipped loss with entropy bonus and KL term, and its gradients, in f64.
 *
 * All means are sums times `tokenWeight`, so that under gradient accumulation they add up. A token
 * with advantage 0 contributes nothing, even where its ratio overflows.
 *
 * Source: Schulman et al. 2017 (arXiv:1707.06347) eqs. 7 and 9; statistics as in TRL 0.11
 * (`ppo_trainer.py`, `loss`).
 */
export function policyLoss(inputs: PolicyLossInputs, options: PolicyLossOptions): PolicyLossResult {
  const { logprobs, oldLogprobs, advantages, mask } = inputs;
  const { clipRange, entropyCoef = 0, klCoef = 0 } = options;
  const tokens = Array.from(mask).filter((m) => m !== 0).length;
  const weight = options.tokenWeight ?? (tokens > 0 ? 1 / tokens : 0);
  const N = logprobs.length;
  const result: PolicyLossResult = {
    loss: 0,
    policyLoss: 0,
    entropy: 0,
    kl: 0,
    clipFraction: 0,
    approxKl: 0,
    policyKl: 0,
    ratioMean: 0,
    ratioMax: 0,
    dlogprobs: Array(N).fill(0),
    dentropy: Array(N).fill(0),
    dkl: Array(N).fill(0),
  };
  for (let n = 0; n < N; n++) {
    if (mask[n] === 0) continue;
    const logRatio = logprobs[n] - oldLogprobs[n];
    const ratio = Math.exp(logRatio);
    const clipped = Math.min(Math.max(ratio, 1 - clipRange), 1 + clipRange);
    const A = advantages[n];
    if (A !== 0) {
      result.policyLoss += weight * Math.max(-A * ratio, -A * clipped);
      if (-A * clipped > -A * ratio) result.clipFraction += weight;
      else result.dlogprobs[n] = -weight * A * ratio;
    }
    result.approxKl += (weight * logRatio ** 2) / 2;
    result.policyKl -= weight * logRatio;
    result.ratioMean += weight * ratio;
    result.ratioMax = Math.max(result.ratioMax, ratio);
    if (inputs.entropy) result.entropy += weight * inputs.entropy[n];
    if (inputs.kl) result.kl += weight * inputs.kl[n];
    result.dentropy[n] = -weight * entropyCoef;
    result.dkl[n] = weight * klCoef;
  }
  result.loss = result.policyLoss - entropyCoef * result.entropy + klCoef * result.kl;
  return result;
}
