/**
 * What `--json` prints: one JSON object a line on standard output, whose `event` says what it is.
 *
 * A program that does not fail begins with `start` and ends with `end`. Numbers that were not measured or overflowed are
 * null. Warnings and errors stay lines of text on standard error.
 *
 * @module
 */
import type { EvaluationSummary } from "./comparison.ts";
import type { GuardEvent } from "./guard_event.ts";
import type { SampleRecord } from "./metrics_writer.ts";
import type { RewardEvaluation } from "./reward_evaluation.ts";

/** Everything is loaded, and the work begins. */
export interface StartEvent {
  /** What it is. */
  event: "start";
  /** Who says so. */
  program: "train" | "eval" | "sft" | "reward";
  /** Name or folder; the model that comes with the package has the name of its folder. */
  model: string;
  /** Of `eval`: what it is compared with, likewise. */
  reference?: string;
  /** The adapter, as people call it. */
  adapter: string;
  /** Of `train`, `sft` and `reward`: parameters that are trained. */
  parameters?: number;
  /** Steps that will be taken, of `train`, `sft` and `reward`; counted from the beginning of the run. */
  steps?: number;
  /** Steps that were taken before: `train` was resumed. */
  resumedAfter?: number;
  /** Of `train --dashboard`: the address of the live page. */
  page?: string;
}

/** A step is over. */
export interface StepEvent {
  /** What it is. */
  event: "step";
  /** Counted from 1. */
  step: number;
  /**
   * Of `train` all of `METRICS`. Of `sft` and `reward` `loss` in nats, and `grad_norm` before clipping; with them, of `sft`
   * the `seconds` of the step and its `tokens_per_second`, of `reward` the `steps_per_second` since the beginning.
   */
  metrics: Readonly<Record<string, number>>;
}

/** A text of the policy, as often as `sampleEvery` says. */
export interface SampleEvent extends Pick<SampleRecord, "step" | "prompt" | "response" | "score"> {
  /** What it is. */
  event: "sample";
  /** Nats per response. */
  kl: number;
}

/** A model was measured on prompts or data that it does not learn from. */
export type EvaluationEvent =
  | ({ event: "evaluation"; of: "before" | "after" | "reference" | "policy" } & EvaluationSummary)
  | ({ event: "evaluation"; of: "validation"; step: number } & (SftValidation | RewardEvaluation));

/** How a language model predicts validation text. */
export interface SftValidation {
  /** Cross-entropy. */
  natsPerToken: number;
  /** The same over the text's bytes, which compares models of different tokens. */
  natsPerByte: number;
  /** UTF-8 bytes of the text. */
  bytes: number;
}

/** A model was saved. */
export interface CheckpointEvent {
  /** What it is. */
  event: "checkpoint";
  /** Steps that it has seen. */
  step: number;
  /** Where. */
  folder: string;
}

/** The guard saw something. */
export type GuardLineEvent = { event: "guard" } & GuardEvent;

/** The work is done; what came of it. */
export interface EndEvent {
  /** What it is. */
  event: "end";
  /** Steps taken since the beginning of the run. */
  steps?: number;
  /** Run folder, or folder of the trained model. */
  folder?: string;
  /** Of `train`: the best checkpoint. */
  best?: string;
  /** Of `train`: a signal or the live page ended it before its last step. */
  stopped?: boolean;
  /** Of `train`: the policy before its first step, where there was an evaluation. */
  before?: EvaluationSummary;
  /** Of `train`: the policy after its last. */
  after?: EvaluationSummary;
  /** Of `eval`. */
  reference?: EvaluationSummary;
  /** Of `eval`. */
  policy?: EvaluationSummary;
  /** Of `sft` and `reward`: how the saved model did. */
  validation?: SftValidation | RewardEvaluation;
}

/** A line of `--json` of `train`, `eval`, `sft` and `reward`. */
export type ProgramEvent =
  | StartEvent
  | StepEvent
  | SampleEvent
  | EvaluationEvent
  | CheckpointEvent
  | GuardLineEvent
  | EndEvent;

/** Whether `--quiet` keeps it: warnings and the result. */
export function isEssential({ event }: ProgramEvent): boolean {
  return event === "guard" || event === "end";
}
