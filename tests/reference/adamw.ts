export interface AdamwState {
  params: Float64Array;
  m: Float64Array;
  v: Float64Array;
  /** Optimizer steps taken. */
  step: number;
}

export interface AdamwOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Gradients are scaled down to this global norm; no clipping when absent. */
  maxGradNorm?: number;
}

/**
 * One AdamW step in f64. Updates `state` in place and returns the norm of `grads` before clipping.
 *
 * A norm that is not finite leaves the whole state untouched.
 *
 * Source: Loshchilov & Hutter 2019 (arXiv:1711.05101) algorithm 2, as torch.optim.AdamW and
 * torch.nn.utils.clip_grad_norm_ (coefficient `max / (norm + 1e-6)`, at most 1) have it.
 */
export function adamwStep(
  state: AdamwState,
  grads: ArrayLike<number>,
  options: AdamwOptions,
): number {
  const { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm = Infinity } = options;
  const { params, m, v } = state;
  const gradNorm = Math.sqrt(Array.from(grads).reduce((total, g) => total + g ** 2, 0));
  if (!Number.isFinite(gradNorm)) return gradNorm;
  const clip = Math.min(1, maxGradNorm / (gradNorm + 1e-6));
  const t = ++state.step;
  for (let i = 0; i < params.length; i++) {
    const g = clip * grads[i];
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g ** 2;
    const mHat = m[i] / (1 - beta1 ** t);
    const vHat = v[i] / (1 - beta2 ** t);
    params[i] -= learningRate * (weightDecay * params[i] + mHat / (Math.sqrt(vHat) + epsilon));
  }
  return gradNorm;
}
