/** The two ways to train a reward: on labelled texts, and on pairs of which one is preferred. */

import { crossEntropy } from "../kernels/cross_entropy.ts";
import { pairLoss } from "../kernels/pair_loss.ts";
import type { Arena, Pass, Tensor } from "../kernels/runtime/mod.ts";
import { upload } from "../model/score.ts";
import type { RewardExample } from "./reward_data.ts";

/** How a model did on one example. */
export interface Verdict {
  /** In nats. */
  loss: number;
  /** Whether the model is right. */
  correct: boolean;
  /** Of a pair: the better text's score minus the worse one's. */
  margin?: number;
}

/** The tensors of {@linkcode RewardObjective.loss}: E examples, of which the model made N logits. */
export interface ObjectiveTensors {
  /** (N, labels); may be overwritten. */
  logits: Tensor;
  /** (E) factor of each loss. */
  weights: Tensor;
}

/** What is made smaller, and how it is judged. */
export interface RewardObjective {
  /** Records the loss of each example, (E) in nats, and the gradient (N, labels) of their weighted sum. */
  loss(
    pass: Pass,
    arena: Arena,
    examples: readonly RewardExample[],
    tensors: ObjectiveTensors,
  ): { losses: Tensor; dlogits: Tensor };
  /** Judges by logits on the host, (N, labels) row by row. */
  judge(examples: readonly RewardExample[], logits: ArrayLike<number>): Verdict[];
}

/**
 * The rows that a model reads for examples, their first texts and then their second ones, where they have two.
 */
export function rowsOf(examples: readonly RewardExample[]): (readonly number[])[] {
  return examples[0].rows.flatMap((_, text) => examples.map(({ rows }) => rows[text]));
}

/** Cross-entropy of labels; E examples make (E, labels) logits. */
export class LabelObjective implements RewardObjective {
  readonly #labelSmoothing: number;

  /**
   * A loss of labels.
   *
   * @param options.labelSmoothing See `crossEntropy`; verdicts are without it (default 0).
   */
  constructor({ labelSmoothing = 0 }: { labelSmoothing?: number } = {}) {
    this.#labelSmoothing = labelSmoothing;
  }

  loss(
    pass: Pass,
    arena: Arena,
    examples: readonly RewardExample[],
    { logits, weights }: ObjectiveTensors,
  ): { losses: Tensor; dlogits: Tensor } {
    const targets = upload(arena, "reward.labels", examples.map(({ label }) => label), "u32");
    const losses = arena.take("reward.losses", [examples.length]);
    crossEntropy(pass, { logits, targets, weights, losses }, {
      labelSmoothing: this.#labelSmoothing,
    });
    return { losses, dlogits: logits };
  }

  judge(examples: readonly RewardExample[], logits: ArrayLike<number>): Verdict[] {
    const labels = logits.length / examples.length;
    return examples.map(({ label }, n) => {
      const row = Array.from({ length: labels }, (_, i) => logits[n * labels + i]);
      const peak = Math.max(...row);
      const mass = row.reduce((sum, z) => sum + Math.exp(z - peak), 0);
      return { loss: peak + Math.log(mass) - row[label], correct: row.indexOf(peak) === label };
    });
  }
}

/** Bradley and Terry's loss of pairs; E examples make (2 E, 1) scores, those of the better texts first. */
export class PairObjective implements RewardObjective {
  readonly #centring: number;

  /**
   * A loss of pairs.
   *
   * @param options.centring See `pairLoss`; verdicts are without it (default 0).
   */
  constructor({ centring = 0 }: { centring?: number } = {}) {
    this.#centring = centring;
  }

  loss(
    pass: Pass,
    arena: Arena,
    examples: readonly RewardExample[],
    { logits, weights }: ObjectiveTensors,
  ): { losses: Tensor; dlogits: Tensor } {
    const losses = arena.take("reward.losses", [examples.length]);
    const dlogits = arena.take("reward.dlogits", logits.shape);
    const tensors = { scores: logits, weights, dscores: dlogits, losses };
    pairLoss(pass, tensors, { centring: this.#centring });
    return { losses, dlogits };
  }

  judge(examples: readonly RewardExample[], scores: ArrayLike<number>): Verdict[] {
    return examples.map((_, n) => {
      const margin = scores[n] - scores[examples.length + n];
      const loss = Math.max(-margin, 0) + Math.log1p(Math.exp(-Math.abs(margin)));
      return { loss, correct: margin > 0, margin };
    });
  }
}
