import type { Evaluation } from "./evaluate.ts";
import type { GuardEvent } from "./guard_event.ts";
import type { PpoMetrics } from "./metrics.ts";
import type { SampleRecord } from "./metrics_writer.ts";
import type { PpoTrainer } from "./ppo_trainer.ts";
import { sampleTable } from "./sample_table.ts";
import { stepLine, stepRow, stepTitles } from "./step_line.ts";

/** What a training step reports. */
export interface PpoStats {
  /** Of the step. */
  metrics: PpoMetrics;
  /** One per response, in the order of the batch. */
  samples: SampleRecord[];
  /** Of every response token, before whitening. */
  advantages: number[];
  /** What the guard saw and did. */
  events: GuardEvent[];
}

/**
 * Called by a {@linkcode PpoTrainer} at its turning points; each method may be left out, and may be async.
 *
 * ```ts
 * import { earlyStopping, PpoTrainer, type TrainerCallback } from "@kl-guard/kl-guard";
 *
 * const watcher: TrainerCallback = {
 *   onStepEnd(trainer, { metrics }) {
 *     console.log(trainer.steps, metrics["objective/scores"]);
 *     if (metrics["objective/kl_full"] > 0.5) trainer.stop(); // nats per token
 *   },
 * };
 * using trainer = await PpoTrainer.create({ steps: 1, batchSize: 4, reward: "heuristic" });
 * await trainer.train({ callbacks: [watcher, earlyStopping({ patience: 20 })] });
 * ```
 */
export interface TrainerCallback {
  /** Under which a checkpoint keeps what the callback remembers; needed with `state` and `restore` only. */
  readonly name?: string;
  /** What it remembers, ready for JSON; asked for at every checkpoint. */
  state?(): unknown;
  /** Goes on from what `state` gave, before `onTrainBegin` of a run that is resumed. */
  restore?(state: unknown): void;
  /** Before the first step of `train`. */
  onTrainBegin?(trainer: PpoTrainer, plan: { steps: number }): void | Promise<void>;
  /** After the last step of `train`. */
  onTrainEnd?(trainer: PpoTrainer): void | Promise<void>;
  /** Before a step, whose number is counted from 1. */
  onStepBegin?(trainer: PpoTrainer, step: number): void | Promise<void>;
  /** After a step, the one that the guard ends training with included, unless it went back to a checkpoint. */
  onStepEnd?(trainer: PpoTrainer, stats: PpoStats): void | Promise<void>;
  /** After the guard went back to a checkpoint: `trainer.steps` is that of the checkpoint, later steps are undone. */
  onRollback?(trainer: PpoTrainer): void | Promise<void>;
  /** For everything that the guard saw, when it has acted. */
  onGuardEvent?(trainer: PpoTrainer, event: GuardEvent): void | Promise<void>;
  /** Before an evaluation. */
  onEvaluateBegin?(trainer: PpoTrainer): void | Promise<void>;
  /** After an evaluation. */
  onEvaluateEnd?(trainer: PpoTrainer, evaluation: Evaluation): void | Promise<void>;
  /** After a checkpoint was written, to `folder`. */
  onCheckpoint?(trainer: PpoTrainer, folder: string): void | Promise<void>;
}

/** How {@linkcode progress} and {@linkcode showSample} write. */
export interface WriteOptions {
  /** Columns that a line may take, at any moment (default: as many as it needs). */
  columns?: () => number;
  /** Takes what the guard saw (default: what takes the other lines). */
  warn?: (line: string) => void;
}

/** Between two lines of titles, where steps are a table. */
const TITLES_EVERY = 20;

/**
 * Writes a line for every step, in columns: reward, KL, beta, entropy, loss, speed, time; and one for all that the guard
 * saw. Where that is too long, steps are the rows of a table with titles.
 */
export function progress(
  write: (line: string) => void,
  { columns = () => Infinity, warn = write }: WriteOptions = {},
): TrainerCallback {
  let last = 0;
  let rows = 0;
  return {
    onTrainBegin(trainer, { steps }) {
      last = trainer.steps + steps;
      rows = 0;
    },
    onStepEnd(_, { metrics }) {
      const line = stepLine(metrics, last);
      if (line.length <= columns()) return write(line);
      if (rows++ % TITLES_EVERY === 0) write(stepTitles(last));
      write(stepRow(metrics, last));
    },
    onGuardEvent(_, { step, rule, action, message }) {
      warn(`guard, step ${step}, ${rule}: ${message} (${action})`);
    },
  };
}

/** Samples of a step that are shown. */
export const SAMPLES_SHOWN = 3;

/** Writes a table of samples after every `every`-th step, with all that cannot be seen in their texts spelled out. */
export function showSample(
  every: number,
  write: (line: string) => void,
  { columns = () => Infinity }: Pick<WriteOptions, "columns"> = {},
): TrainerCallback {
  return {
    onStepEnd(_, { metrics, samples }) {
      if (metrics.step % every !== 0) return;
      const [indent, shown] = [4, samples.slice(0, SAMPLES_SHOWN)];
      const table = sampleTable(shown, columns() - indent);
      for (const line of table) write(" ".repeat(indent) + line);
    },
  };
}

/** Saves a checkpoint after every `steps`-th step, to folders that `folderOf` names. */
export function checkpointEvery(
  steps: number,
  folderOf: (step: number) => string,
): TrainerCallback {
  return {
    async onStepEnd(trainer, { metrics }) {
      if (metrics.step % steps === 0) await trainer.save(folderOf(metrics.step));
    },
  };
}
