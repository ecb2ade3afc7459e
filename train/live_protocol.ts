/** What the live page and the training run tell each other. */

import * as z from "zod";
import type { SampleRecord } from "./metrics_writer.ts";

/** What the page is told; each replaces what it was told before, but `step`, `guard` and `answer` add to it. */
export type LiveEvent =
  | { type: "run"; name: string; settings: Record<string, unknown>; steerable: boolean }
  | { type: "step"; metrics: Record<string, unknown> }
  | { type: "samples"; samples: SampleRecord[] }
  | { type: "guard"; message: string; step: number }
  | { type: "state"; state: LiveState }
  | { type: "answer"; prompt: string; policy: string; reference: string; step: number };

/** Where the run is and what it is steered by. */
export interface LiveState {
  /** `finishing`: asked to stop, at the end of the step. */
  phase: "running" | "paused" | "finishing" | "finished";
  step: number;
  totalSteps: number;
  beta: number;
  klTarget: number;
  learningRate: number;
  /** The newest checkpoint's folder. */
  checkpoint?: string;
  /** Why the last command could not be followed. */
  problem?: string;
}

/** What the page may ask for. */
export type LiveCommand = z.output<typeof commandSchema>;

/** Longest prompt that may be typed, in UTF-16 units. */
const MAX_PROMPT = 4000;

const commandSchema = z.discriminatedUnion("do", [
  z.strictObject({ do: z.enum(["pause", "resume", "save", "stop"]) }),
  z.strictObject({ do: z.literal("set-beta"), value: z.number().min(0).max(1e6) }),
  z.strictObject({ do: z.literal("set-target"), value: z.number().gt(0).max(1e6) }),
  z.strictObject({ do: z.literal("set-learning-rate"), value: z.number().min(0).max(10) }),
  z.strictObject({ do: z.literal("complete"), prompt: z.string().trim().min(1).max(MAX_PROMPT) }),
]);

/** A request that is no command. */
export class CommandError extends Error {
  override name = "CommandError";
}

/**
 * Checks what came over the network.
 *
 * @throws {CommandError} If it is not a command, or a number of it is out of its range.
 */
export function checkCommand(value: unknown): LiveCommand {
  const result = commandSchema.safeParse(value);
  if (result.success) return result.data;
  const reasons = result.error.issues.map(({ path, message }) => [...path, message].join(": "));
  throw new CommandError(`not a command: ${reasons.join("; ")}`);
}
