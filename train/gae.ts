import { checkShapes, type Rows } from "./rows.ts";

/** What the advantages are estimated from. */
export interface GaeInputs {
  /** (B, R) per token, as `tokenRewards` gives them. */
  rewards: Rows;
  /** (B, R) of the state before the token. */
  values: Rows;
  /** (B, R) 1 on response tokens. */
  mask: Rows;
}

/** Settings of {@linkcode gae}. */
export interface GaeOptions {
  /** Discount per token, usually 1. */
  gamma: number;
  /** From 0 (one step, low variance) to 1 (whole response, no bias), usually 0.95. */
  lambda: number;
}

/**
 * Generalised advantage estimation: `A_t = delta_t + gamma * lambda * A_{t+1}` with
 * `delta_t = r_t + gamma * V_{t+1} - V_t`, and returns `A + V` from before any whitening.
 *
 * ```ts
 * import { gae } from "@kl-guard/kl-guard";
 *
 * const response = { rewards: [[0, 1]], values: [[0.5, 0.5]], mask: [[1, 1]] };
 * const { advantages } = gae(response, { gamma: 1, lambda: 1 });
 * console.log(advantages); // [[0.5, 0.5]]
 * ```
 *
 * After the last response token both V and A are 0. Tokens outside the mask are stepped over: V and
 * A of the next token inside are carried across, and what stands outside is never looked at.
 *
 * @returns Both (B, R), 0 outside the mask.
 * @throws {ShapeError} If the shapes differ.
 *
 * Source: Schulman et al. 2016 (arXiv:1506.02438) eqs. 11, 12 and 16; carrying across gaps as verl.
 */
export function gae(
  { rewards, values, mask }: GaeInputs,
  { gamma, lambda }: GaeOptions,
): { advantages: number[][]; returns: number[][] } {
  checkShapes("compute advantages", mask, { rewards, values });
  const advantages = mask.map((row) => Array<number>(row.length).fill(0)); // (B, R)
  const returns = mask.map((row) => Array<number>(row.length).fill(0)); // (B, R)
  for (let b = 0; b < mask.length; b++) {
    let nextValue = 0;
    let nextAdvantage = 0;
    for (let t = mask[b].length - 1; t >= 0; t--) {
      if (mask[b][t] === 0) continue;
      const delta = rewards[b][t] + gamma * nextValue - values[b][t];
      nextAdvantage = delta + gamma * lambda * nextAdvantage;
      nextValue = values[b][t];
      advantages[b][t] = nextAdvantage;
      returns[b][t] = nextAdvantage + nextValue;
    }
  }
  return { advantages, returns };
}
