import type { Reward, Sample } from "./reward.ts";

/** Likes responses in which a regular expression is found: 1, else 0. */
export class PatternReward implements Reward {
  readonly name = "pattern";

  /** Rewards responses that match. */
  constructor(readonly pattern: RegExp) {}

  /** (B) scores, each 0 or 1. */
  score(samples: readonly Sample[]): number[] {
    // `search` looks at all of the text, whatever flags keep a place in the expression.
    return samples.map(({ response }) => response.search(this.pattern) >= 0 ? 1 : 0);
  }
}
