/** What {@linkcode ScoreNormaliser} keeps, ready for JSON. */
export interface ScoreNormaliserState {
  /** Scores seen. */
  readonly count: number;
  /** Their mean. */
  readonly mean: number;
  /** Sum of their squared distances from the mean. */
  readonly squares: number;
}

/** Scales scores by the mean and the deviation of all that it has seen. */
export class ScoreNormaliser {
  #state: ScoreNormaliserState = { count: 0, mean: 0, squares: 0 };

  /**
   * Takes a batch in, then returns each score less the mean, over the unbiased standard deviation; 0
   * while all scores are the same.
   *
   * The batch itself counts, as in TRL 0.11 (`use_score_norm`), so that the first one is scaled too.
   * Source: Welford 1962, "Note on a method for calculating corrected sums of squares and products".
   *
   * @param scores (B)
   * @returns (B)
   */
  normalise(scores: readonly number[]): number[] {
    let { count, mean, squares } = this.#state;
    for (const score of scores) {
      count++;
      const distance = score - mean;
      mean += distance / count;
      squares += distance * (score - mean);
    }
    this.#state = { count, mean, squares };
    const deviation = Math.sqrt(squares / (count - 1));
    return scores.map((score) => deviation > 0 ? (score - mean) / deviation : 0);
  }

  /** What changes, for {@linkcode ScoreNormaliser.restore}. */
  state(): ScoreNormaliserState {
    return this.#state;
  }

  /**
   * Goes on from a saved state.
   *
   * @throws {RangeError} If a number is not finite, the count not whole, or it or the squares negative.
   */
  restore({ count, mean, squares }: ScoreNormaliserState): void {
    if (!(Number.isInteger(count) && count >= 0 && Number.isFinite(mean) && squares >= 0)) {
      throw new RangeError(
        `Cannot restore the score normaliser: count ${count} and squares ${squares} must be 0 or more, ` +
          `and mean ${mean} finite`,
      );
    }
    this.#state = { count, mean, squares };
  }
}

/** What is done to scores before they are trained on. */
export interface ScoreAdjustment {
  /** Scale by the running mean and deviation, first. */
  normaliseScores: boolean;
  /** Then multiply by this. */
  rewardScale: number;
  /** At last limit the distance from 0; 0 for no limit. */
  rewardClip: number;
}

/**
 * The scores that training sees: normalised, scaled and clipped, each where it is asked for.
 *
 * @param scores (B) as the reward gave them.
 * @param normaliser Takes the scores in where they are normalised.
 * @returns (B)
 */
export function adjustScores(
  scores: readonly number[],
  normaliser: ScoreNormaliser,
  { normaliseScores, rewardScale, rewardClip }: ScoreAdjustment,
): number[] {
  const limit = rewardClip || Infinity;
  return (normaliseScores ? normaliser.normalise(scores) : scores)
    .map((score) => Math.max(-limit, Math.min(limit, score * rewardScale)));
}
