import type { TextCodec } from "../model/tokenizer.ts";
import type { PpoStats } from "./callbacks.ts";
import type { GuardReport } from "./guard.ts";
import { ppoMetrics } from "./metrics.ts";
import type { PpoStep } from "./ppo.ts";
import { maskedRowSums, maskedValues } from "./rows.ts";
import { tokenRecords } from "./token_records.ts";

/** Samples of a step that are kept token by token. */
const DETAILED_SAMPLES = 2;

/** What callbacks hear of a step: its metrics, and its responses as text. */
export function stepStats(
  { rollout, ...record }: PpoStep,
  { step, episode, guard, tokenizer }: {
    /** Counted from 1. */
    step: number;
    /** Responses sampled up to its end. */
    episode: number;
    guard: GuardReport | undefined;
    tokenizer: TextCodec;
  },
): PpoStats {
  const kl = maskedRowSums(record.klPenalty, record.mask);
  return {
    metrics: ppoMetrics({ ...record, step, episode, guard }),
    samples: rollout.samples.map(({ prompt, response }, b) => ({
      step,
      prompt,
      response,
      score: record.scores[b],
      kl: kl[b],
      ...(b < DETAILED_SAMPLES && {
        tokens: tokenRecords(tokenizer, rollout, b, {
          kl: record.klFull,
          advantages: record.advantages,
        }),
      }),
    })),
    advantages: maskedValues(record.advantages, record.mask),
    events: guard?.events ?? [],
  };
}
