/** What the guard remembers from step to step, and a checkpoint keeps of it. */

import * as z from "zod";
import { RULE_NAMES, type RuleName } from "./guard_rules.ts";
import type { WatchedResponse, WindowFigures } from "./guard_window.ts";

/** What the guard remembers, ready for JSON. */
export interface GuardMemory {
  /** The newest responses. */
  window: WatchedResponse[];
  /** Figures of as many responses of the reference. */
  reference: WindowFigures;
  /** Of the first responses, at most as many as the window holds. */
  firstScores: number[];
  /** Steps in a row with scores that were not finite. */
  badScores: number;
  /** Steps in a row with updates that were not finite. */
  badUpdates: number;
  /** Rules that tripped in the newest step. */
  tripped: RuleName[];
  /** How often the run went back to a checkpoint. */
  rollbacks: number;
  /** What the weight of the KL has not been allowed below since. */
  betaFloor: number;
}

const figure = z.number();

const MEMORY: z.ZodType<GuardMemory> = z.strictObject({
  window: z.array(z.strictObject({
    text: z.string(),
    tokens: figure,
    score: figure.nullable(),
    kl: figure,
    entropy: figure,
    surprise: figure,
  })),
  reference: z.strictObject({
    kl: figure,
    entropy: figure,
    perplexity: figure,
    distinct: figure,
    repetition: figure,
    length: figure,
  }),
  firstScores: z.array(figure),
  badScores: figure,
  badUpdates: figure,
  tripped: z.array(z.enum(RULE_NAMES)),
  rollbacks: figure,
  betaFloor: figure,
});

/** Reads what a checkpoint kept. */
export function parseGuardMemory(memory: unknown): GuardMemory {
  return MEMORY.parse(memory);
}
