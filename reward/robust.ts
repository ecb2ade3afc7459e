import { DeviceLostError } from "../kernels/runtime/mod.ts";
import { partsOf } from "./composite.ts";
import { type Reward, RewardError, type Sample, type Scores, scoreSamples } from "./reward.ts";
import { RewardLabelError } from "./sentiment.ts";

/** One of the rewards that a {@linkcode RobustReward} tries. */
export interface RewardCandidate {
  /** For messages. */
  name: string;
  /** Makes the reward, when its turn comes. */
  load(): Reward | Promise<Reward>;
}

/**
 * The first of several rewards that loads and answers.
 *
 * One that cannot be loaded, or fails while scoring, is given up for good, with one line that says so; the
 * next scores the same samples and all later ones. The metrics have its scores as
 * `rewards/<name>/mean` and `/std`, and its place in the list, from 0, as `rewards/source`. It owns
 * what it loads: disposing it disposes that.
 */
export class RobustReward implements Reward, Disposable {
  readonly name: string;
  readonly #candidates: readonly RewardCandidate[];
  readonly #say: (line: string) => void;
  /** Place in the list of the reward whose turn it is. */
  #source = 0;
  #loaded: Reward | undefined;

  /**
   * Nothing is loaded before the first {@linkcode load} or {@linkcode score}.
   *
   * @param candidates In the order in which they are tried.
   * @param options.say Hears of every reward that is given up (default: nobody does).
   */
  constructor(
    candidates: readonly [RewardCandidate, ...RewardCandidate[]],
    { say = () => {}, name = "robust" }: { say?: (line: string) => void; name?: string } = {},
  ) {
    this.name = name;
    this.#candidates = candidates;
    this.#say = say;
  }

  /**
   * Loads the first reward that can be loaded, where none is yet.
   *
   * @throws {RewardError} If the last cannot be loaded either.
   * @throws {RewardLabelError} If a classifier's labels cannot be told apart: that is for the user to
   * settle, and no reason to score by something else.
   * @throws {DeviceLostError} If the GPU is gone, and with it all that is trained.
   */
  async load(): Promise<Reward> {
    while (this.#loaded === undefined) {
      try {
        this.#loaded = await this.#candidate.load();
      } catch (error) {
        this.#giveUp(error);
      }
    }
    return this.#loaded;
  }

  /** Scores by the reward whose turn it is or, where it fails, by the next. */
  async score(samples: readonly Sample[]): Promise<Scores> {
    for (;;) {
      const reward = await this.load();
      try {
        const result = await scoreSamples(reward, samples);
        const parts = partsOf(reward.name, result);
        return { scores: result.scores, parts, source: this.#source };
      } catch (error) {
        this.#giveUp(error);
      }
    }
  }

  /** Disposes the reward that is loaded. */
  [Symbol.dispose](): void {
    this.#loaded?.[Symbol.dispose]?.();
    this.#loaded = undefined;
  }

  get #candidate(): RewardCandidate {
    return this.#candidates[this.#source]!;
  }

  /** Goes on to the next reward; throws where there is none. */
  #giveUp(error: unknown): void {
    if (error instanceof RewardLabelError || error instanceof DeviceLostError) throw error;
    const { name } = this.#candidate;
    const problem = error instanceof Error ? error.message : String(error);
    if (this.#source === this.#candidates.length - 1) {
      if (error instanceof RewardError) throw error;
      throw new RewardError(`Cannot load the reward ${name}: ${problem}`, { cause: error });
    }
    this[Symbol.dispose]();
    this.#source++;
    this.#say(
      `The reward ${name} cannot be used (${problem}); ${this.#candidate.name} scores instead`,
    );
  }
}
