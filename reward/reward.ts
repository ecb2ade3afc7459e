import { GpuError } from "../kernels/runtime/mod.ts";

/** One response to be scored. */
export interface Sample {
  /** What the policy was given. */
  prompt: string;
  /** What the policy wrote, decoded from the sampled tokens. */
  response: string;
  /** Both together, as they read. */
  text: string;
  /** Whether the response came to its end; false where the limit on its length cut it off. */
  ended: boolean;
}

/** Scores, and what they are made of. */
export interface Scores {
  /** (B) one finite number per sample. */
  scores: number[];
  /** (B) each, by name: further finite numbers, for the metrics `rewards/<name>/mean` and `/std`. */
  parts?: Readonly<Record<string, readonly number[]>>;
  /** Which of several rewards scored, counted from 0, for the metric `rewards/source`. */
  source?: number;
}

/** Anything that scores responses; higher is better. The unit is the reward's own. */
export interface Reward {
  /** For metrics, samples and errors. */
  readonly name: string;
  /** One finite score per sample, in the order of the samples; with {@linkcode Scores} around them to say more. */
  score(samples: readonly Sample[]): number[] | Scores | Promise<number[] | Scores>;
  /** Frees what the reward holds. Whoever made the reward calls it. */
  [Symbol.dispose]?(): void;
}

/** A reward cannot be loaded, failed, or gave something that cannot be trained on. */
export class RewardError extends Error {
  /** The name of the class. */
  override name = "RewardError";
}

/** A reward gave a score that is not a finite number. */
export class NonFiniteScoreError extends RewardError {
  /** The name of the class. */
  override name = "NonFiniteScoreError";

  /**
   * Names the reward and what is wrong with its scores.
   *
   * @param problem Which score it is.
   */
  constructor(readonly reward: string, readonly problem: string) {
    super(`Cannot use the reward ${reward}: ${problem}; return a finite number`);
  }
}

/**
 * Scores samples and checks the answer; nothing that is not a finite number per sample gets through.
 *
 * @param options.timeoutMs Milliseconds that an answer may take; 0 for no limit. A reward that keeps the
 * thread busy cannot be stopped; its answer counts when it comes.
 * @throws {RewardError} As {@linkcode checkScores}; and where the reward throws, with that as the
 * `cause`, or does not answer in time. Errors of the Gpu are passed on as they are.
 */
export async function scoreSamples(
  reward: Reward,
  samples: readonly Sample[],
  { timeoutMs = 0 }: { timeoutMs?: number } = {},
): Promise<Scores> {
  const answer = await answerOf(reward, samples, timeoutMs);
  const result = Array.isArray(answer) ? { scores: answer } : answer;
  checkScores(reward.name, samples, result?.scores);
  for (const [part, numbers] of Object.entries(result.parts ?? {})) {
    checkScores(`${reward.name}, part ${part}`, samples, numbers);
  }
  return result;
}

/** What the reward says, in time; its errors name it. */
async function answerOf(
  reward: Reward,
  samples: readonly Sample[],
  timeoutMs: number,
): Promise<number[] | Scores> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const refuse = () =>
    reject(
      new RewardError(
        `Cannot use the reward ${reward.name}: it has not scored ${described(samples)} within ` +
          `${timeoutMs} ms; make it faster, or raise rewardTimeout`,
      ),
    );
  const timer = timeoutMs > 0 ? setTimeout(refuse, timeoutMs) : undefined;
  try {
    return await Promise.race([reward.score(samples), late]);
  } catch (cause) {
    if (cause instanceof RewardError || cause instanceof GpuError) throw cause;
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new RewardError(
      `Cannot use the reward ${reward.name}: it failed on ${described(samples)}: ${problem}`,
      { cause },
    );
  } finally {
    clearTimeout(timer);
  }
}

function described(samples: readonly Sample[]): string {
  return samples.length === 1 ? `the response ${shown(samples[0])}` : `${samples.length} samples`;
}

/** A response for messages. */
export function shown({ response }: Sample): string {
  return JSON.stringify(response.length > 60 ? `${response.slice(0, 60)}...` : response);
}

/**
 * Checks what a reward returned.
 *
 * @throws {RewardError} If it is not an array of one number per sample.
 * @throws {NonFiniteScoreError} If a number is not finite; the message names the reward and the first bad sample.
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
    const score = typeof scores[bad] === "string" ? JSON.stringify(scores[bad]) : scores[bad];
    const problem = `the score of sample ${bad} is ${score} for the response ${
      shown(samples[bad])
    }`;
    throw new NonFiniteScoreError(name, problem);
  }
}
