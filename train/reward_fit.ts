import type { RewardExample } from "./reward_data.ts";
import type { RewardEvaluation } from "./reward_evaluation.ts";
import type { RewardProgress, RewardTrainer } from "./reward_trainer.ts";

/** A line of progress: the step just taken, counted from 1, and how the last steps went. */
export interface FitProgress extends RewardProgress {
  /** Counted from 1. */
  step: number;
  /** Counted from 1. */
  epoch: number;
}

/** What {@linkcode fitReward} goes by. */
export interface FitOptions {
  /** Passes over the examples, at most. */
  epochs: number;
  /** The batches of an epoch, counted from 0. */
  batchesOf: (epoch: number) => readonly (readonly RewardExample[])[];
  /** Held-out examples, at least one. */
  validation: readonly RewardExample[];
  /** Steps between evaluations; the end of an epoch is one too (default: only these). */
  evalEvery?: number;
  /** Evaluations without a higher accuracy after which the training ends. */
  patience: number;
  /** Keep the model at every evaluation, and so the last one in the end (default: only at a higher accuracy). */
  keepLast?: boolean;
  /** Called to keep the model as it is, in place of the one that was kept before. */
  keep: () => Promise<void>;
  /** Hears how the last steps went. */
  onProgress: (progress: FitProgress) => void;
  /** Hears of every evaluation, and whether the model was kept. */
  onEvaluation: (evaluation: RewardEvaluation, at: { step: number; kept: boolean }) => void;
}

/** How a training ended. */
export interface FitResult {
  /** Of the model that was kept. */
  kept: RewardEvaluation;
  /** Whether patience ran out before the epochs did. */
  stoppedEarly: boolean;
}

/** Steps between two reports; each waits for the GPU. */
const REPORT_EVERY = 20;

/** The loss is not a number any more: the parameters or the data are beyond f32. */
export class DivergedError extends RangeError {
  /** The name of the class. */
  override name = "DivergedError";
}

/**
 * Trains for some epochs, keeps the model with the highest held-out accuracy, and stops when that has not
 * risen for a while. With `keepLast` it trains to the end.
 *
 * @throws {DivergedError} If the loss is not finite.
 */
export async function fitReward(
  trainer: RewardTrainer,
  options: FitOptions,
): Promise<FitResult> {
  const { epochs, batchesOf, validation, evalEvery = Infinity, patience, keepLast } = options;
  let kept: RewardEvaluation | undefined;
  let misses = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const batches = batchesOf(epoch);
    for (const [index, batch] of batches.entries()) {
      trainer.step(batch);
      const step = trainer.steps;
      const last = index === batches.length - 1;
      if (last || step % REPORT_EVERY === 0) {
        const progress = await trainer.report();
        if (!Number.isFinite(progress.loss)) throw diverged(step, progress.loss);
        options.onProgress({ ...progress, step, epoch });
      }
      if (!last && step % evalEvery !== 0) continue;
      const evaluation = await trainer.evaluate(validation);
      if (keepLast || kept === undefined || evaluation.accuracy > kept.accuracy) {
        await options.keep();
        kept = evaluation;
        misses = 0;
      } else {
        misses++;
      }
      options.onEvaluation(evaluation, { step, kept: kept === evaluation });
      if (misses === patience) return { kept, stoppedEarly: true };
    }
  }
  return { kept: kept!, stoppedEarly: false };
}

function diverged(step: number, loss: number): DivergedError {
  return new DivergedError(
    `Cannot go on after step ${step}: the loss is ${loss}; lower the learning rate`,
  );
}
