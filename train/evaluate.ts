import type { CausalLM } from "../model/causal_lm.ts";
import { type Reward, type Sample, scoreSamples } from "../reward/reward.ts";
import { scoreRollout } from "./experience.ts";
import { gae, type GaeOptions } from "./gae.ts";
import type { SampleRecord } from "./metrics_writer.ts";
import { tokenRewards } from "./rewards.ts";
import { encodePrompts, type RolloutOptions, sampleRollout } from "./rollout.ts";
import { maskedValues } from "./rows.ts";
import { mean, standardDeviation } from "./stats.ts";
import { distinctN } from "./text_stats.ts";
import { tokenRecords } from "./token_records.ts";

/** What a model does with prompts. */
export interface Evaluation {
  /**
   * The responses with their scores; the first ones token by token, where the policy has a value head with what each
   * gained over the value before it: the advantage of the score alone.
   */
  samples: (Sample & Pick<SampleRecord, "score" | "tokens">)[];
  /** Mean of the scores. */
  meanScore: number;
  /** Standard deviation of the scores. */
  stdScore: number;
  /** Mean and deviation of the judge's scores, where there is one. */
  judge?: { meanScore: number; stdScore: number };
  /** Exact KL to the reference: mean over the response tokens, nats per token. */
  kl: number;
  /** Share of distinct word pairs among all of the responses. */
  distinct2: number;
  /** Mean length of the responses, tokens. */
  meanLength: number;
}

/** Two models that cannot be compared. */
export class ComparisonError extends Error {
  /** The name of the class. */
  override name = "ComparisonError";
}

/** Responses that are kept token by token, the first ones. */
const DETAILED_SAMPLES = 12;

/** Responses that are sampled at a time. */
export const EVALUATION_BATCH = 48;

/**
 * Samples `responses` responses, taking the prompts in turn, and measures them.
 *
 * The same options give the same responses; two models under one seed are compared pairwise.
 *
 * @throws {ComparisonError} If policy and reference have different tokens.
 * @throws {TokenRowsError} If there are no prompts, or one is empty or leaves no room for a response.
 * @throws {RewardError} If the reward fails, or gives anything but a finite number for each response.
 */
export async function evaluatePolicy(
  { policy, reference, reward, judge }: {
    policy: CausalLM;
    reference: CausalLM;
    reward: Reward;
    /** Scores the same responses. */
    judge?: Reward;
  },
  prompts: readonly string[],
  { responses, rewardTimeout = 0, onProgress, gamma = 1, lambda = 0.95, ...options }:
    & RolloutOptions
    & Partial<GaeOptions>
    & {
      responses: number;
      /** Hears, now and then, how many responses are there. */
      onProgress?: ((done: number) => void) | undefined;
      /** Milliseconds that the scores of 48 responses may take; 0 for no limit. */
      rewardTimeout?: number;
    },
): Promise<Evaluation> {
  const { promptIds } = encodePrompts(policy, prompts, options.maxLength);
  const others = prompts.map((prompt) => reference.tokenizer.encode(prompt));
  const sameSize = policy.config.vocabSize === reference.config.vocabSize;
  if (!sameSize || promptIds.join(" ") !== others.join(" ")) {
    throw new ComparisonError(
      "Cannot compare the policy with the reference: their tokens differ, so there is no KL between " +
        "them; choose a reference with the policy's tokenizer",
    );
  }
  const samples: Evaluation["samples"] = [];
  const judged: number[] = [];
  const kl: number[] = [];
  const lengths: number[] = [];
  for (let at = 0; at < responses; at += EVALUATION_BATCH) {
    const size = Math.min(EVALUATION_BATCH, responses - at);
    const batch = Array.from({ length: size }, (_, i) => prompts[(at + i) % prompts.length]);
    const rollout = await sampleRollout(policy, batch, { ...options, step: at });
    const { scores } = await scoreSamples(reward, rollout.samples, { timeoutMs: rewardTimeout });
    if (judge) {
      const { scores } = await scoreSamples(judge, rollout.samples, { timeoutMs: rewardTimeout });
      judged.push(...scores);
    }
    const { mask } = rollout;
    const { klFull, values } = await scoreRollout({ policy, reference }, rollout, {
      temperature: options.temperature ?? 1,
    });
    const rewards = tokenRewards({ scores, kl: klFull, beta: 0, mask });
    const advantages = policy.hasValueHead
      ? gae({ rewards, values, mask }, { gamma, lambda }).advantages
      : undefined;
    samples.push(...rollout.samples.map((sample, b) => ({
      ...sample,
      score: scores[b],
      ...(at + b < DETAILED_SAMPLES && {
        tokens: tokenRecords(policy.tokenizer, rollout, b, {
          kl: klFull,
          ...(advantages && { advantages }),
        }),
      }),
    })));
    kl.push(...maskedValues(klFull, mask));
    lengths.push(...rollout.responseLengths);
    onProgress?.(samples.length);
  }
  const scores = samples.map(({ score }) => score);
  return {
    samples,
    meanScore: mean(scores),
    stdScore: standardDeviation(scores),
    ...(judge && { judge: { meanScore: mean(judged), stdScore: standardDeviation(judged) } }),
    kl: mean(kl),
    distinct2: distinctN(samples.map(({ response }) => response), 2),
    meanLength: mean(lengths),
  };
}

/** Standard errors by which the mean score rose: the difference over its own standard error; 0 of no rise. */
export function riseInStandardErrors(before: Evaluation, after: Evaluation): number {
  return riseOf(before, after, [before.samples.length, after.samples.length]);
}

/** The same of the judge's scores; undefined where there was no judge. */
export function judgedRise(before: Evaluation, after: Evaluation): number | undefined {
  if (!before.judge || !after.judge) return undefined;
  return riseOf(before.judge, after.judge, [before.samples.length, after.samples.length]);
}

function riseOf(
  before: Pick<Evaluation, "meanScore" | "stdScore">,
  after: Pick<Evaluation, "meanScore" | "stdScore">,
  [countBefore, countAfter]: readonly [number, number],
): number {
  const error = Math.hypot(
    before.stdScore / Math.sqrt(countBefore),
    after.stdScore / Math.sqrt(countAfter),
  );
  const rise = after.meanScore - before.meanScore;
  return rise === 0 ? 0 : rise / error;
}
