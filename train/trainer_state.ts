/** What `trainer_state.json` of a checkpoint holds: all of a training run but the numbers on the GPU. */

import * as z from "zod";
import { parseJson } from "../weights/json.ts";
import { CheckpointError } from "./checkpoint_error.ts";
import type { KlControllerState } from "./kl_controller.ts";
import type { ScoreNormaliserState } from "./score_normaliser.ts";

/** Grows by one when the state changes so that older programs, or older states, would be misread. */
export const STATE_VERSION = 2;

/** What identifies where numbers were computed. */
export interface AdapterState {
  /** Name of the adapter. */
  description: string;
  /** Lanes of a subgroup where kernels use them, else 0. */
  subgroupSize: number;
  /** Most bytes of a binding, by which sums over parameters are cut. */
  bindingBytes: number;
}

/** A change of settings or adapter in the middle of a run. */
export interface ResumeRecord {
  /** PPO steps taken before. */
  step: number;
  /** Settings: old and new value. */
  changed: Record<string, [unknown, unknown]>;
  /** The adapter before, where it was another. */
  adapterBefore?: AdapterState | undefined;
}

/** Everything that training goes on from, beside parameters and moments. Ready for JSON. */
export interface TrainerState {
  /** Tells the file from others of the same name. */
  format: "kl-guard trainer state";
  /** {@linkcode STATE_VERSION}. */
  version: typeof STATE_VERSION;
  /** PPO steps taken. */
  step: number;
  /** Responses sampled. */
  episodes: number;
  /** The step at which the learning rate's schedule ends. */
  scheduledSteps: number;
  /** The settings, resolved. */
  config: Record<string, unknown>;
  /** Of the KL: its weight, and the mean KL of every update, nats per token. */
  controller: KlControllerState;
  /** Running statistics of the scores. */
  scoreNormaliser: ScoreNormaliserState;
  /** Random numbers that shuffle the minibatches. Sampling has none: its key is the seed and the step. */
  minibatchRng: [number, number, number, number];
  /** Where the next batch begins, and of which prompts; null where the caller chose every batch. */
  prompts: { sha256: string; epoch: number; index: number } | null;
  /** AdamW's counters: steps taken, 1 - beta1^steps, 1 - beta2^steps, unused. */
  optimizer: [number, number, number, number];
  /** What callbacks remember, by their name. */
  callbacks: Record<string, unknown>;
  /** SHA-256 of the reference's parameters. */
  reference: string;
  /** Name of the reward. */
  reward: string;
  /** Where it was computed. Another adapter, or another choice of kernels, rounds differently. */
  adapter: AdapterState;
  /** How it computes what it can compute in several ways, as was measured there; see `Tuning`. */
  tuning: Record<string, string>;
  /** Where the run was resumed, oldest first, and what was changed there. */
  resumes: ResumeRecord[];
}

const FORMAT: TrainerState["format"] = "kl-guard trainer state";

const count = z.int().min(0);
const word = z.int().min(0).max(2 ** 32 - 1);

const adapter = z.strictObject({
  description: z.string(),
  subgroupSize: count,
  bindingBytes: count,
});

const STATE: z.ZodType<TrainerState> = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(STATE_VERSION),
  step: count,
  episodes: count,
  scheduledSteps: count,
  config: z.record(z.string(), z.unknown()),
  controller: z.strictObject({ beta: z.number().min(0), history: z.array(z.number()) }),
  scoreNormaliser: z.strictObject({ count, mean: z.number(), squares: z.number().min(0) }),
  minibatchRng: z.tuple([word, word, word, word]),
  prompts: z.strictObject({ sha256: z.string(), epoch: count, index: count }).nullable(),
  optimizer: z.tuple([z.number(), z.number(), z.number(), z.number()]),
  callbacks: z.record(z.string(), z.unknown()),
  reference: z.string(),
  reward: z.string(),
  adapter,
  tuning: z.record(z.string(), z.string()),
  resumes: z.array(z.strictObject({
    step: count,
    changed: z.record(z.string(), z.tuple([z.unknown(), z.unknown()])),
    adapterBefore: adapter.optional(),
  })),
});

/** The text of `trainer_state.json`. */
export function formatTrainerState(state: Omit<TrainerState, "format" | "version">): string {
  return JSON.stringify({ format: FORMAT, version: STATE_VERSION, ...state }, null, 2) + "\n";
}

/**
 * Reads the text of `trainer_state.json`.
 *
 * @param folder The checkpoint, for messages.
 * @throws {CheckpointError} If it is not JSON, of another version, or not what this version writes.
 */
export function parseTrainerState(text: Uint8Array, folder: string): TrainerState {
  const unusable = (problem: string, cause?: unknown) =>
    new CheckpointError(`its trainer_state.json ${problem}`, { folder, cause });
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw unusable(`is not JSON (${(cause as Error).message})`, cause);
  }
  const { format, version } = Object(json);
  if (format !== FORMAT || !Number.isInteger(version)) {
    throw unusable("was written by another program");
  }
  if (version !== STATE_VERSION) {
    const remedy = version > STATE_VERSION
      ? "resume it with the release that wrote it, or a later one"
      : "resume it with the release that wrote it, or begin a new run with the checkpoint as --model";
    throw unusable(
      `has the format version ${version}, this release reads ${STATE_VERSION}; ${remedy}`,
    );
  }
  const result = STATE.safeParse(json);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  throw unusable(`is broken at ${path.join(".")} (${message})`);
}
