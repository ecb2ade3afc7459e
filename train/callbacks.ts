import { clock } from "./clock.ts";
import type { Evaluation } from "./evaluate.ts";
import type { GuardEvent } from "./guard_event.ts";
import type { PpoMetrics } from "./metrics.ts";
import type { SampleRecord } from "./metrics_writer.ts";
import type { PpoTrainer } from "./ppo_trainer.ts";

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

/** Called by a {@linkcode PpoTrainer} at its turning points; each method may be left out, and may be async. */
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
  /** After a step, unless the guard ended training or went back to a checkpoint. */
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

/** Writes a line for every step: reward, KL, beta, speed, time to go; and one for all that the guard saw. */
export function progress(write: (line: string) => void): TrainerCallback {
  let started = 0;
  let done = 0;
  let last = 0;
  return {
    onTrainBegin(trainer, { steps }) {
      last = trainer.steps + steps;
      started = performance.now();
      done = 0;
    },
    onStepEnd(_, { metrics }) {
      done++;
      const seconds = (performance.now() - started) / 1000;
      const left = (last - metrics.step) * seconds / done;
      const number = (name: keyof PpoMetrics, digits: number) => metrics[name].toFixed(digits);
      write([
        `step ${String(metrics.step).padStart(String(last).length)}/${last}`,
        `reward ${number("objective/scores", 3).padStart(6)}`,
        `KL ${number("objective/kl_full", 4)}`,
        `beta ${number("objective/kl_coef", 3)}`,
        `entropy ${number("ppo/policy/entropy", 2)}`,
        `${number("perf/tokens_per_second", 0)} tokens/s`,
        `ETA ${clock(left)}`,
      ].join(" | "));
    },
    onGuardEvent(_, { step, rule, action, message }) {
      write(`guard, step ${step}, ${rule}: ${message} (${action})`);
    },
  };
}

/** Writes one sample of every `every`-th step. */
export function showSample(every: number, write: (line: string) => void): TrainerCallback {
  return {
    onStepEnd(_, { metrics, samples: [sample] }) {
      if (metrics.step % every !== 0 || !sample) return;
      const text = `${sample.prompt}${sample.response}`.replace(/\s+/g, " ");
      write(`    ${sample.score.toFixed(2).padStart(5)}  ${text}`);
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
