import type { Reward, Sample } from "./reward.ts";
import { tokensOf } from "./words.ts";

/** How long {@linkcode LengthReward} wants a response, in words and punctuation marks. */
export interface LengthOptions {
  /** The best length, 1 or more. */
  target: number;
  /** How far from it is as good (default 0). */
  tolerance?: number;
}

/**
 * Likes responses of a length, in words and punctuation marks:
 *
 *     max(0, 1 - beyond / target)     in [0, 1]
 *
 * where `beyond` is how much further than the tolerance the length is from the target.
 */
export class LengthReward implements Reward {
  readonly name = "length";
  readonly #target: number;
  readonly #tolerance: number;

  /**
   * Rewards lengths near the target.
   *
   * @throws {RangeError} If the target is below 1, or the tolerance below 0.
   */
  constructor({ target, tolerance = 0 }: LengthOptions) {
    if (!(target >= 1 && tolerance >= 0)) {
      throw new RangeError(
        `Cannot make a length reward of target ${target} and tolerance ${tolerance}: the target must ` +
          `be 1 or more, and the tolerance 0 or more`,
      );
    }
    this.#target = target;
    this.#tolerance = tolerance;
  }

  /** (B) scores in [0, 1]. */
  score(samples: readonly Sample[]): number[] {
    return samples.map(({ response }) => {
      const distance = Math.abs(tokensOf(response).length - this.#target);
      const beyond = Math.max(0, distance - this.#tolerance);
      return Math.max(0, 1 - beyond / this.#target);
    });
  }
}
