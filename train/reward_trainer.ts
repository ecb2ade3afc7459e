import type { Pass, Tensor } from "../kernels/runtime/mod.ts";
import { sumPartials } from "../kernels/sum_partials.ts";
import { upload } from "../model/score.ts";
import type { SequenceClassifier } from "../model/sequence_classifier.ts";
import { padRight, type TokenBatch } from "../model/token_batch.ts";
import { pieces } from "./epoch_batches.ts";
import { AdamW, type AdamWOptions } from "./optimizer.ts";
import { type RewardEvaluation, summarise } from "./reward_evaluation.ts";
import type { RewardExample } from "./reward_data.ts";
import { type RewardObjective, rowsOf } from "./reward_objectives.ts";

/** Settings of {@linkcode RewardTrainer}. */
export interface RewardTrainerOptions extends AdamWOptions {
  /** What is made smaller. */
  objective: RewardObjective;
  /** Learning rate of step k, counted from 0. */
  learningRate: (step: number) => number;
  /** Micro-batches of a step; the result equals one large batch up to rounding (default 1). */
  gradientAccumulation?: number;
}

/** What happened since the last report. */
export interface RewardProgress {
  /** Mean loss over the examples, each before its step and not weighted, in nats. */
  loss: number;
  /** Norm of the last step's gradient before clipping. */
  gradNorm: number;
}

/** Examples that are evaluated at once. */
const EVALUATION_BATCH = 64;

/**
 * Trains a reward: minimises the mean over a batch of weight times loss of an example.
 *
 * Steps are only submitted; a wait for the GPU is as long as a good part of a small step, so statistics come
 * when they are asked for.
 */
export class RewardTrainer implements Disposable {
  /** Of the model's parameters. */
  readonly optimizer: AdamW;
  /** Steps taken. */
  steps = 0;
  /** (1) sum of the losses since the last report. */
  readonly #lossSum: Tensor;
  #examples = 0;

  /**
   * A trainer that has taken no steps.
   *
   * @param model Loaded with `train`.
   * @throws {TypeError} If it was not.
   */
  constructor(readonly model: SequenceClassifier, readonly options: RewardTrainerOptions) {
    if (!model.grads) {
      throw new TypeError("Cannot train: the model was loaded frozen; load it with train");
    }
    this.optimizer = new AdamW(model.gpu, model.layout, options);
    this.#lossSum = model.gpu.empty([1], "f32", "reward.loss_sum");
  }

  /** Submits one optimizer step. */
  step(examples: readonly RewardExample[]): void {
    const { model: { gpu, values, grads }, optimizer, options } = this;
    optimizer.learningRate = options.learningRate(this.steps);
    const size = Math.ceil(examples.length / (options.gradientAccumulation ?? 1));
    const parts = pieces(examples, size);
    for (const [index, part] of parts.entries()) {
      const pass = gpu.record("reward");
      if (index === 0) grads!.clear(pass);
      this.#record(pass, part, examples.length);
      if (index === parts.length - 1) optimizer.step(pass, values, grads!);
      pass.submit();
    }
    this.steps++;
    this.#examples += examples.length;
  }

  /** Waits for the steps since the last report and says how they went. */
  async report(): Promise<RewardProgress> {
    const { gpu } = this.model;
    const [[sum], [gradNorm]] = await gpu.readAll([this.#lossSum, this.optimizer.norm]);
    const loss = sum / this.#examples;
    gpu.write(this.#lossSum, [0]);
    this.#examples = 0;
    return { loss, gradNorm };
  }

  /** Judges the model on examples, without a step. */
  async evaluate(examples: readonly RewardExample[]): Promise<RewardEvaluation> {
    const { model, options: { objective } } = this;
    const { gpu } = model;
    const batches = pieces(examples, EVALUATION_BATCH);
    const logits: Tensor[] = []; // of each batch, to be read at once
    for (const batch of batches) {
      const pass = gpu.record("reward.evaluate");
      const output = model.forward(pass, this.#upload(batch));
      logits.push(gpu.empty(output.shape, "f32", "reward.logits"));
      pass.copy(output, logits.at(-1)!);
      pass.submit();
    }
    const read = await gpu.readAll(logits);
    gpu.free(...logits);
    const verdicts = batches.flatMap((batch, i) => objective.judge(batch, read[i]));
    return summarise(batches.flat().map(({ source }, i) => ({ ...verdicts[i], source })));
  }

  /** Records forward and backward of one micro-batch of a batch of `total` examples. */
  #record(pass: Pass, examples: readonly RewardExample[], total: number): void {
    const { model, options: { objective } } = this;
    const { arena } = model;
    const batch = this.#upload(examples);
    const shares = examples.map(({ weight }) => weight / total);
    const weights = upload(arena, "reward.weights", shares, "f32");

    const logits = model.forward(pass, batch, { train: true });
    const { losses, dlogits } = objective.loss(pass, arena, examples, { logits, weights });
    const partials = losses.view([examples.length, 1, 1]);
    sumPartials(pass, { partials, out: this.#lossSum });
    model.backward(pass, batch, dlogits);
  }

  #upload(examples: readonly RewardExample[]): TokenBatch {
    return this.model.upload(padRight(rowsOf(examples), 0)); // masked: any id
  }

  /** Frees the optimizer; the model stays. */
  [Symbol.dispose](): void {
    this.optimizer[Symbol.dispose]();
    this.model.gpu.free(this.#lossSum);
  }
}

/** Length of an example's longest text, in tokens. */
export function longest({ rows }: RewardExample): number {
  return Math.max(...rows.map((row) => row.length));
}
