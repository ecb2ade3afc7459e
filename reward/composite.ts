import { type Reward, RewardError, type Sample, type Scores, scoreSamples } from "./reward.ts";

/** A part of a {@linkcode CompositeReward}. */
export interface RewardPart {
  /** For metrics and errors (default: the reward's own name). */
  name?: string;
  /** What its scores are multiplied by (default 1); below 0 for a penalty. */
  weight?: number;
  /** What scores. */
  reward: Reward;
}

/**
 * The weighted sum of several rewards:
 *
 * ```ts
 * import { CompositeReward, MissingEndPenalty, HeuristicReward, LengthReward } from "@kl-guard/kl-guard";
 *
 * const reward = new CompositeReward([
 *   { reward: new HeuristicReward(), weight: 0.5 },
 *   { reward: new LengthReward({ target: 20, tolerance: 5 }), weight: 2 },
 *   { reward: new MissingEndPenalty(), name: "cut off" },
 * ]);
 * ```
 *
 * Each part's own scores, before the weight, go into the metrics as `rewards/<name>/mean` and `/std`; the
 * parts of a part as `rewards/<name>/<its part>/...`. It owns its parts: disposing it disposes them.
 */
export class CompositeReward implements Reward, Disposable {
  readonly #parts: readonly Required<RewardPart>[];

  /**
   * Adds up the parts.
   *
   * @throws {RewardError} If there are no parts, two have one name, or a weight is not finite.
   */
  constructor(parts: readonly RewardPart[], readonly name = "composite") {
    this.#parts = parts.map((part) => ({ name: part.reward.name, weight: 1, ...part }));
    const fail = (problem: string) => new RewardError(`Cannot make the reward ${name}: ${problem}`);
    if (parts.length === 0) throw fail("it has no parts; give at least one");
    for (const [i, part] of this.#parts.entries()) {
      if (!Number.isFinite(part.weight)) {
        throw fail(`the weight of ${part.name} is ${part.weight}; give a finite number`);
      }
      if (this.#parts.findIndex(({ name }) => name === part.name) < i) {
        throw fail(`two parts have the name ${part.name}; give each its own`);
      }
    }
  }

  /** Scores the parts at the same time, and adds them up. */
  async score(samples: readonly Sample[]): Promise<Scores> {
    const results = await Promise.all(
      this.#parts.map(({ reward }) => scoreSamples(reward, samples)),
    );
    const scores = samples.map((_, b) =>
      this.#parts.reduce((sum, { weight }, p) => sum + weight * results[p]!.scores[b]!, 0)
    );
    const parts = results.map((result, p) => partsOf(this.#parts[p]!.name, result));
    return { scores, parts: Object.assign({}, ...parts) };
  }

  /** Disposes the parts. */
  [Symbol.dispose](): void {
    for (const { reward } of this.#parts) reward[Symbol.dispose]?.();
  }
}

/** What one of several rewards told, under its name: its scores as `name`, its parts as `name/part`. */
export function partsOf(
  name: string,
  { scores, parts = {} }: Scores,
): Record<string, readonly number[]> {
  const below = Object.entries(parts).map(([part, numbers]) => [`${name}/${part}`, numbers]);
  return { [name]: scores, ...Object.fromEntries(below) };
}
