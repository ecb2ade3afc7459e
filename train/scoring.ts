import {
  NonFiniteScoreError,
  type Reward,
  type Sample,
  type Scores,
  scoreSamples,
} from "../reward/reward.ts";
import type { TrainConfig } from "./config.ts";

/** Scores to train on, or what is wrong with them. */
export interface CheckedScores extends Scores {
  /** Which score was not finite; all scores are then NaN, and nothing is to be trained on them. */
  scoreProblem?: string;
}

/**
 * Asks a reward for the scores of a step. Where one is not finite and the guard is on, that is for the guard to answer.
 *
 * @throws {RewardError} As `scoreSamples`; with the guard on, not for a score that is not finite.
 */
export async function scoreStep(
  { reward, config }: { reward: Reward; config: Pick<TrainConfig, "guard" | "rewardTimeout"> },
  samples: readonly Sample[],
): Promise<CheckedScores> {
  try {
    return await scoreSamples(reward, samples, { timeoutMs: config.rewardTimeout });
  } catch (error) {
    if (!config.guard || !(error instanceof NonFiniteScoreError)) throw error;
    return {
      scores: samples.map(() => NaN),
      scoreProblem: `reward ${error.reward}: ${error.problem}`,
    };
  }
}
