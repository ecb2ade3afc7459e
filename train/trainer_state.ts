/** What `trainer_state.json` of a checkpoint holds: all of a training run but the numbers on the GPU. */

import * as z from "zod";
import { parseJson } from "../weights/json.ts";
import { CheckpointError } from "./checkpoint_error.ts";

/** Grows by one when the state changes so that older programs, or older states, would be misread. */
export const STATE_VERSION = 1;

const FORMAT = "kl-guard trainer state";

const count = z.int().min(0);
const word = z.int().min(0).max(2 ** 32 - 1);

const adapter = z.strictObject({
  /** Name of the adapter. */
  description: z.string(),
  /** Lanes of a subgroup where kernels use them, else 0. */
  subgroupSize: count,
  /** Most bytes of a binding, by which sums over parameters are cut. */
  bindingBytes: count,
});

const STATE = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(STATE_VERSION),
  /** PPO steps taken. */
  step: count,
  /** Responses sampled. */
  episodes: count,
  /** The step at which the learning rate's schedule ends. */
  scheduledSteps: count,
  /** The settings, resolved. */
  config: z.record(z.string(), z.unknown()),
  controller: z.strictObject({ beta: z.number().min(0), history: z.array(z.number()) }),
  scoreNormaliser: z.strictObject({ count, mean: z.number(), squares: z.number().min(0) }),
  /** Random numbers that shuffle the minibatches. Sampling has none: its key is the seed and the step. */
  minibatchRng: z.tuple([word, word, word, word]),
  /** Where the next batch begins, and of which prompts; null where the caller chose every batch. */
  prompts: z.strictObject({ sha256: z.string(), epoch: count, index: count }).nullable(),
  /** AdamW's counters: steps taken, 1 - beta1^steps, 1 - beta2^steps, unused. */
  optimizer: z.tuple([z.number(), z.number(), z.number(), z.number()]),
  /** What callbacks remember, by their name. */
  callbacks: z.record(z.string(), z.unknown()),
  /** SHA-256 of the reference's parameters. */
  reference: z.string(),
  /** Name of the reward. */
  reward: z.string(),
  /** Where it was computed. Another adapter, or another choice of kernels, rounds differently. */
  adapter,
  /** Where the run was resumed, oldest first, and what was changed there. */
  resumes: z.array(z.strictObject({
    step: count,
    /** Settings: old and new value. */
    changed: z.record(z.string(), z.tuple([z.unknown(), z.unknown()])),
    /** The adapter before, where it was another. */
    adapterBefore: adapter.optional(),
  })),
});

/** Everything that training goes on from, beside parameters and moments. Ready for JSON. */
export type TrainerState = z.output<typeof STATE>;

/** What identifies where numbers were computed. */
export type AdapterState = z.output<typeof adapter>;

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
