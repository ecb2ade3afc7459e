/** What the guard remembers from step to step, and a checkpoint keeps of it. */

import * as z from "zod";
import { RULE_NAMES } from "./guard_rules.ts";

const figure = z.number();

const MEMORY = z.strictObject({
  /** The newest responses. */
  window: z.array(z.strictObject({
    text: z.string(),
    tokens: figure,
    score: figure.nullable(),
    kl: figure,
    entropy: figure,
    surprise: figure,
  })),
  /** Figures of as many responses of the reference. */
  reference: z.strictObject({
    kl: figure,
    entropy: figure,
    perplexity: figure,
    distinct: figure,
    repetition: figure,
    length: figure,
  }),
  /** Of the first responses, at most as many as the window holds. */
  firstScores: z.array(figure),
  /** Steps in a row with scores, or with updates, that were not finite. */
  badScores: figure,
  badUpdates: figure,
  /** Rules that tripped in the newest step. */
  tripped: z.array(z.enum(RULE_NAMES)),
  /** How often the run went back to a checkpoint, and what the weight of the KL has not been allowed below since. */
  rollbacks: figure,
  betaFloor: figure,
});

/** What the guard remembers, ready for JSON. */
export type GuardMemory = z.output<typeof MEMORY>;

/** Reads what a checkpoint kept. */
export function parseGuardMemory(memory: unknown): GuardMemory {
  return MEMORY.parse(memory);
}
