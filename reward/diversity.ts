import type { Reward, Sample } from "./reward.ts";
import { ngramsOf, tokensOf } from "./words.ts";

/** What {@linkcode DiversityReward} looks at. */
export interface DiversityOptions {
  /** Words in a row that are compared (default 2). */
  n?: number;
  /** Weight of the share of words that repeat the one right before them (default 1). */
  repetitionPenalty?: number;
}

/**
 * Likes responses that do not repeat themselves:
 *
 *     distinct-n - repetitionPenalty * stuttered     in [-repetitionPenalty, 1]
 *
 * distinct-n is the share of different n-grams among all of the response (Li et al. 2016,
 * arXiv:1510.03055), 0 where it has none; `stuttered` is the share of words that are the same as the one
 * right before them. Punctuation marks count as words.
 */
export class DiversityReward implements Reward {
  readonly name = "diversity";
  readonly #n: number;
  readonly #repetitionPenalty: number;

  /**
   * Rewards distinct n-grams and charges repeated ones.
   *
   * @throws {RangeError} If `n` is not a whole number of 1 or more, or the penalty is below 0.
   */
  constructor({ n = 2, repetitionPenalty = 1 }: DiversityOptions = {}) {
    if (!(Number.isInteger(n) && n >= 1 && repetitionPenalty >= 0)) {
      throw new RangeError(
        `Cannot make a diversity reward of n ${n} and repetitionPenalty ${repetitionPenalty}: n must be ` +
          `a whole number of 1 or more, and the penalty 0 or more`,
      );
    }
    this.#n = n;
    this.#repetitionPenalty = repetitionPenalty;
  }

  /** (B) scores. */
  score(samples: readonly Sample[]): number[] {
    return samples.map(({ response }) =>
      distinctShare(ngramsOf(response, this.#n)) -
      this.#repetitionPenalty * stutteredShare(tokensOf(response))
    );
  }
}

function distinctShare(ngrams: readonly string[]): number {
  return ngrams.length === 0 ? 0 : new Set(ngrams).size / ngrams.length;
}

function stutteredShare(words: readonly string[]): number {
  if (words.length === 0) return 0;
  return words.filter((word, i) => word === words[i - 1]).length / words.length;
}
