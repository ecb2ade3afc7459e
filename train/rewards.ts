import { ShapeError } from "../kernels/runtime/errors.ts";
import { checkShapes, type Rows } from "./rows.ts";

/** What the per-token rewards are made of. */
export interface TokenRewardInputs {
  /** (B) of the reward, one per response. */
  scores: ArrayLike<number>;
  /** (B, R) nats, from the policy that sampled, without gradient. */
  kl: Rows;
  /** Weight of the KL; 0 where the KL is a term of the loss instead. */
  beta: number;
  /** (B, R) 1 on response tokens. */
  mask: Rows;
}

/**
 * Rewards per token: `-beta * kl` on every response token, plus the score on the last one.
 *
 * The score goes to the last real token, the stop token where there is one, never to padding. A
 * response without tokens gets no reward at all.
 *
 * @returns (B, R), 0 outside the mask.
 * @throws {ShapeError} If the shapes differ.
 *
 * Source: Ziegler et al. 2019 (arXiv:1909.08593) eq. 2; openai/lm-human-preferences
 * `train_policy.py`, lines 149-154.
 */
export function tokenRewards({ scores, kl, beta, mask }: TokenRewardInputs): number[][] {
  checkShapes("compute token rewards", mask, { kl });
  if (scores.length !== mask.length) {
    throw new ShapeError(
      `Cannot compute token rewards: scores must be (${mask.length}), ` +
        `current shape is (${scores.length})`,
    );
  }
  return mask.map((row, b) => {
    const rewards = Array.from(row, (m, t) => (m === 0 ? 0 : -beta * kl[b][t]));
    const last = Array.from(row).findLastIndex((m) => m !== 0);
    if (last >= 0) rewards[last] += scores[b];
    return rewards;
  });
}
