/**
 * How the KL coefficient moves:
 * - `band`: above 1.5 x target it is multiplied by `factor`, below target / 1.5 divided by it;
 * - `proportional`: in proportion to the relative error, clipped to 20 %;
 * - `fixed`: not at all.
 */
export type KlControllerKind = "band" | "proportional" | "fixed";

/** Settings of {@linkcode KlDivergenceController}. KL is in nats per token everywhere. */
export interface KlControllerOptions {
  /** How the coefficient moves; `band` when absent. */
  kind?: KlControllerKind;
  /** The coefficient at the start. */
  initialCoef: number;
  /** The mean KL to hold; not used by `fixed`. */
  target: number;
  /** Step of `band`, above 1; 1.1 when absent. */
  factor?: number;
  /** Episodes after which `proportional` has moved by about the relative error; required there. */
  horizon?: number;
  /** Lowest coefficient that `band` and `proportional` go to; 1e-4 when absent. */
  min?: number;
  /** Highest coefficient that `band` and `proportional` go to; 10 when absent. */
  max?: number;
}

/** What a checkpoint keeps of a controller, ready for JSON. */
export interface KlControllerState {
  /** The coefficient. */
  beta: number;
  /** The mean KL of every update so far. */
  history: number[];
}

/** The band reaches from target / 1.5 to target x 1.5. */
const BAND = 1.5;

/** Largest relative error that one proportional update answers to. */
const MAX_ERROR = 0.2;

/**
 * Holds the KL to the reference policy near a target by moving its coefficient, beta.
 *
 * Update it once per PPO step, after the optimization, with the mean KL of that step's batch.
 *
 * ```ts
 * import { KlDivergenceController } from "@kl-guard/kl-guard";
 *
 * const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.05 });
 * controller.update(0.1, 8); // nats per token, over 8 responses: above the band
 * console.log(controller.beta); // 0.22
 * ```
 *
 * Source: `band` is the adaptive penalty of Schulman et al. 2017 (arXiv:1707.06347) section 4 with a
 * smaller factor; `proportional` is Ziegler et al. 2019 (arXiv:1909.08593) section 2.2.
 */
export class KlDivergenceController {
  readonly #kind: KlControllerKind;
  #target: number;
  readonly #factor: number;
  readonly #horizon: number;
  readonly #min: number;
  readonly #max: number;
  #beta: number;
  #history: number[] = [];

  /**
   * A controller with the coefficient at its start.
   *
   * @throws {RangeError} If a setting that the kind uses is out of range.
   */
  constructor(options: KlControllerOptions) {
    const { kind = "band", initialCoef, target, factor = 1.1, min = 1e-4, max = 10 } = options;
    this.#kind = kind;
    this.#target = target;
    this.#factor = factor;
    this.#horizon = options.horizon ?? NaN;
    this.#min = min;
    this.#max = max;
    if (kind !== "fixed") {
      check(isPositive(target), `target ${target} must be above 0`);
      check(isPositive(min) && min <= max, `min ${min} must be above 0 and at most max ${max}`);
      check(
        initialCoef >= min && initialCoef <= max,
        `initialCoef ${initialCoef} must lie between min ${min} and max ${max}`,
      );
    }
    if (kind === "band") check(factor > 1, `factor ${factor} must be above 1`);
    if (kind === "proportional") {
      const { horizon } = options;
      check(
        horizon !== undefined && isPositive(horizon),
        `horizon ${horizon} must be above 0, such as 50 times the batch size`,
      );
    }
    check(
      Number.isFinite(initialCoef) && initialCoef >= 0,
      `initialCoef ${initialCoef} must be 0 or more`,
    );
    this.#beta = initialCoef;
  }

  /** The KL coefficient, for the next step. */
  get beta(): number {
    return this.#beta;
  }

  /** The mean KL that is held, in nats per token. */
  get target(): number {
    return this.#target;
  }

  /**
   * Sets beta or the target by hand, for the next step on; `band` and `proportional` then go on from there.
   *
   * A beta outside of the bounds is brought back into them by the next update.
   *
   * @throws {RangeError} If beta is negative, the target is not above 0, or one is not finite.
   */
  steer({ beta = this.#beta, target = this.#target }: { beta?: number; target?: number }): void {
    if (!Number.isFinite(beta) || beta < 0 || !isPositive(target)) {
      throw new RangeError(
        `Cannot steer the KL to ${target} with beta ${beta}: the target must be above 0, beta 0 or more`,
      );
    }
    this.#beta = beta;
    this.#target = target;
  }

  /** The mean KL of every update so far, oldest first, in nats per token. */
  get history(): readonly number[] {
    return this.#history;
  }

  /** `beta * kl`, the cost of a KL. */
  penalty(kl: number): number {
    return this.#beta * kl;
  }

  /**
   * Moves beta by what was measured, and notes it in the history.
   *
   * @param meanKl Mean over the batch in nats per token; estimates may be negative.
   * @param episodes Responses that it was measured on; only `proportional` uses it.
   * @throws {RangeError} If a number is not finite; beta is then as before.
   */
  update(meanKl: number, episodes: number): void {
    if (!Number.isFinite(meanKl) || !isPositive(episodes)) {
      throw new RangeError(
        `Cannot update the KL coefficient with KL ${meanKl} of ${episodes} episodes: ` +
          `both must be finite, and the episodes above 0`,
      );
    }
    if (this.#kind !== "fixed") {
      const beta = this.#beta * this.#multiplier(meanKl, episodes);
      this.#beta = Math.min(Math.max(beta, this.#min), this.#max);
    }
    this.#history.push(meanKl);
  }

  /** A copy of what changes, for {@linkcode KlDivergenceController.restore}. */
  state(): KlControllerState {
    return { beta: this.#beta, history: [...this.#history] };
  }

  /**
   * Goes on from a saved state.
   *
   * @throws {RangeError} If it has a number that is not finite, or a negative beta.
   */
  restore({ beta, history }: KlControllerState): void {
    if (!(beta >= 0) || ![beta, ...history].every(Number.isFinite)) {
      throw new RangeError(
        `Cannot restore the KL controller: beta ${beta} must be 0 or more, and its history finite`,
      );
    }
    this.#beta = beta;
    this.#history = [...history];
  }

  #multiplier(kl: number, episodes: number): number {
    if (this.#kind === "proportional") {
      const error = Math.min(Math.max(kl / this.#target - 1, -MAX_ERROR), MAX_ERROR);
      return 1 + (error * episodes) / this.#horizon;
    }
    if (kl > this.#target * BAND) return this.#factor;
    if (kl < this.#target / BAND) return 1 / this.#factor;
    return 1;
  }
}

function isPositive(x: number): boolean {
  return Number.isFinite(x) && x > 0;
}

function check(condition: boolean, problem: string): void {
  if (!condition) throw new RangeError(`Cannot make a KL controller: ${problem}`);
}
