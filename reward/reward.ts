/** One response to be scored. */
export interface Sample {
  /** What the policy was given. */
  prompt: string;
  /** What the policy wrote, decoded from the sampled tokens. */
  response: string;
  /** Both together, as they read. */
  text: string;
}

/** Anything that scores responses; higher is better. The unit is the reward's own. */
export interface Reward {
  /** For metrics, samples and errors. */
  readonly name: string;
  /** One finite score per sample, in the order of the samples. */
  score(samples: readonly Sample[]): number[] | Promise<number[]>;
}

/** A reward gave something that cannot be trained on. */
export class RewardError extends Error {
  override name = "RewardError";
}

/**
 * Scores samples and checks the answer; nothing that is not a finite number per sample gets through.
 *
 * @returns (B)
 * @throws {RewardError} As {@linkcode checkScores}.
 */
export async function scoreSamples(
  reward: Reward,
  samples: readonly Sample[],
): Promise<number[]> {
  const scores = await reward.score(samples);
  checkScores(reward.name, samples, scores);
  return scores;
}

/**
 * Checks what a reward returned.
 *
 * @throws {RewardError} If it is not an array of one finite number per sample; the message names the
 * reward and the first bad sample.
 */
export function checkScores(
  name: string,
  samples: readonly Sample[],
  scores: unknown,
): asserts scores is number[] {
  if (!Array.isArray(scores) || scores.length !== samples.length) {
    const given = Array.isArray(scores) ? `${scores.length} scores` : typeof scores;
    throw new RewardError(
      `Cannot use the reward ${name}: it gave ${given} for ${samples.length} samples; ` +
        `return an array with one number per sample`,
    );
  }
  const bad = scores.findIndex((score) => !Number.isFinite(score));
  if (bad >= 0) {
    throw new RewardError(
      `Cannot use the reward ${name}: the score of sample ${bad} is ${scores[bad]} ` +
        `for the response ${JSON.stringify(samples[bad].response)}; return a finite number`,
    );
  }
}
