import type { Reward, Sample } from "./reward.ts";

/** A penalty for missing the end: -1 for a response that the limit on its length cut off, else 0. */
export class MissingEndPenalty implements Reward {
  readonly name = "missing-end";

  /** (B) scores, each -1 or 0. */
  score(samples: readonly Sample[]): number[] {
    return samples.map(({ ended }) => ended ? 0 : -1);
  }
}
