import { adamw, adamwAdvance } from "../kernels/adamw.ts";
import { globalNorm, globalNormPartials } from "../kernels/global_norm.ts";
import type { Gpu, Pass, Tensor } from "../kernels/runtime/mod.ts";
import type { Gradients } from "../model/gradients.ts";
import type { FlatTensors, ParameterLayout } from "../model/params.ts";

/** Settings of {@linkcode AdamW}, named as torch.optim.AdamW names them. */
export interface AdamWOptions {
  /** Decay of the first moment (default 0.9). */
  beta1?: number;
  /** Decay of the second moment (default 0.999). */
  beta2?: number;
  /** Added to the root of the second moment (default 1e-8). */
  epsilon?: number;
  /** Decoupled weight decay (default 0). */
  weightDecay?: number;
  /** Whether biases and layer norms decay too, as in torch's default; else matrices only (default true). */
  decayAll?: boolean;
  /** The gradient is scaled down to this norm where it is larger; 0 turns it off (default 1). */
  maxGradNorm?: number;
}

/**
 * AdamW with decoupled decay (Loshchilov & Hutter 2019, arXiv:1711.05101) and clipping of the global norm.
 *
 * A step whose gradient is not finite changes nothing: neither parameters nor moments nor the step count.
 */
export class AdamW implements Disposable {
  /** (4) of the last step: norm before clipping, clip coefficient, 1 if finite, unused. */
  readonly norm: Tensor;
  /** First moments. */
  readonly m: FlatTensors;
  /** Second moments. */
  readonly v: FlatTensors;
  /** (4) steps taken, 1 - beta1^steps, 1 - beta2^steps, unused. */
  readonly state: Tensor;
  readonly #learningRate: Tensor;
  readonly #partials: Tensor;
  readonly #options: Required<AdamWOptions>;

  /** Moments of zero for the parameters of `layout`. */
  constructor(readonly gpu: Gpu, layout: ParameterLayout, options: AdamWOptions = {}) {
    this.#options = {
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      decayAll: true,
      maxGradNorm: 1,
      ...options,
    };
    this.m = layout.allocate(gpu, "adam.m");
    this.v = layout.allocate(gpu, "adam.v");
    this.norm = gpu.empty([4], "f32", "adam.norm");
    this.state = gpu.empty([4], "f32", "adam.state");
    this.#learningRate = gpu.empty([1], "f32", "adam.learning_rate");
    const ranges = this.m.ranges().map(({ tensor }) => tensor);
    this.#partials = gpu.empty([globalNormPartials(ranges)], "f32", "adam.partials");
  }

  /** Sets the learning rate of the steps that are submitted from now on. */
  set learningRate(value: number) {
    this.gpu.write(this.#learningRate, [value]);
  }

  /** Records one step: updates `values` by `grads`, which it settles and leaves as they are. */
  step(pass: Pass, values: FlatTensors, grads: Gradients): void {
    const { beta1, beta2, epsilon, weightDecay, decayAll, maxGradNorm } = this.#options;
    const { norm, state } = this;
    grads.settle(pass);
    const gradRanges = grads.ranges();
    globalNorm(pass, {
      grads: gradRanges.map(({ tensor }) => tensor),
      partials: this.#partials,
      norm,
    }, { maxNorm: maxGradNorm });
    adamwAdvance(pass, { norm, state }, { beta1, beta2 });
    const [m, v] = [this.m.ranges(), this.v.ranges()];
    values.ranges().forEach(({ tensor: params, decay }, index) => {
      adamw(pass, {
        params,
        grads: gradRanges[index].tensor,
        m: m[index].tensor,
        v: v[index].tensor,
        norm,
        state,
        learningRate: this.#learningRate,
      }, { beta1, beta2, epsilon, weightDecay: decay || decayAll ? weightDecay : 0 });
    });
  }

  /** Frees the moments. */
  [Symbol.dispose](): void {
    this.m.free(this.gpu);
    this.v.free(this.gpu);
    this.gpu.free(this.norm, this.state, this.#learningRate, this.#partials);
  }
}
