import { countsBetween, type Gpu, type GpuCounts } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import type { Reward } from "../reward/reward.ts";
import type { TrainConfig } from "./config.ts";
import { type Experience, scoreRollout } from "./experience.ts";
import { gae } from "./gae.ts";
import type { KlDivergenceController } from "./kl_controller.ts";
import { estimateKl } from "./kl_estimators.ts";
import type { PpoStepRecord, UpdateStats } from "./metrics.ts";
import { minibatches } from "./minibatches.ts";
import { tokenRewards } from "./rewards.ts";
import { type Rollout, sampleRollout } from "./rollout.ts";
import { adjustScores, type ScoreNormaliser } from "./score_normaliser.ts";
import { scoreStep } from "./scoring.ts";
import type { Rng } from "./rng.ts";
import { maskedMean, sum } from "./stats.ts";
import { PolicyUpdate } from "./update.ts";
import { whiten } from "./whiten.ts";
import type { AdamW } from "./optimizer.ts";

/** Everything that a PPO step works on. */
export interface PpoRun {
  /** Trained, with a value head. */
  policy: CausalLM;
  /** Frozen. */
  reference: CausalLM;
  /** Scores the responses. */
  reward: Reward;
  /** Scores evaluations beside the reward; it is not trained on. */
  judge?: Reward;
  /** Sees the scores where the setting `normaliseScores` is on. */
  scoreNormaliser: ScoreNormaliser;
  /** Of the policy's parameters. */
  optimizer: AdamW;
  /** Holds the KL at its target. */
  controller: KlDivergenceController;
  /** The run's settings. */
  config: TrainConfig;
  /** Shuffles the minibatches. */
  rng: Rng;
}

/** The phases of a step, in their order. */
export const PPO_PHASES = ["generate", "score", "forward", "advantages", "update"] as const;
/** One of {@linkcode PPO_PHASES}. */
export type PpoPhase = typeof PPO_PHASES[number];

/** What a step did, for metrics and samples. */
export type PpoStep = Omit<PpoStepRecord, "step" | "episode" | "guard"> & {
  rollout: Rollout;
  entropy: number[][]; // (B, R) nats, when sampled
  /** What the GPU was asked to do in each phase. */
  counts: Record<PpoPhase, GpuCounts>;
  /** What is wrong with the scores, where something is: nothing was updated then. */
  scoreProblem?: string | undefined;
};

/**
 * One PPO update on a batch of prompts.
 *
 * Follows Ziegler et al. 2019 (arXiv:1909.08593) section 2; the loss is Schulman et al. 2017
 * (arXiv:1707.06347) equations 7 and 9, plus, in KL mode `loss`, beta times the exact KL to the reference.
 *
 * @param step Number of the step, a key of the random numbers.
 * @param learningRate Of this step.
 */
export async function ppoStep(
  run: PpoRun,
  prompts: readonly string[],
  { step, learningRate }: { step: number; learningRate: number },
): Promise<PpoStep> {
  const { policy, config, controller } = run;
  const clock = new Stopwatch(policy.gpu);

  // 1. Sample a response to every prompt.
  const rollout = await sampleRollout(policy, prompts, { ...config, step });
  clock.lap("generate");

  // 2. Ask the reward, on text; where its scores are not finite, this step changes nothing.
  const { scores, parts, source, scoreProblem } = await scoreStep(run, rollout.samples);
  const isUsable = scoreProblem === undefined;
  const adjustedScores = isUsable ? adjustScores(scores, run.scoreNormaliser, config) : scores; // (B)
  clock.lap("score");

  // 3. Freeze what PPO calls "old", and measure the KL to the reference.
  const keepForward = config.miniBatchSize / config.gradientAccumulation >= prompts.length;
  const experience = await scoreRollout(run, rollout, { ...config, keepForward });
  clock.lap("forward");

  // 4. Rewards per token, and advantages by GAE.
  const estimates = advantagesOf(run, rollout, experience, adjustedScores);
  clock.lap("advantages");

  // 5. K epochs of minibatches on the clipped surrogate.
  const beta = controller.beta;
  const batch = { rollout, experience, ...estimates };
  const updates = isUsable ? await updatePolicy(run, batch, { beta, learningRate }) : [];
  clock.lap("update");

  // 6. Move beta so that the KL tracks its target; a KL that is not a number says nothing.
  const { mask, queryLengths, responseLengths } = rollout;
  const kl = maskedMean(estimates.klPenalty, mask);
  if (isUsable && Number.isFinite(kl)) controller.update(kl, mask.length);

  return {
    rollout,
    beta,
    klTarget: controller.target,
    learningRate,
    mask,
    ...experience,
    ...estimates,
    scores,
    adjustedScores,
    scoreProblem,
    parts,
    source,
    queryLengths,
    responseLengths,
    endedCount: rollout.ended.filter(Boolean).length,
    epochsDone: isUsable ? config.epochs : 0,
    updates,
    timings: { ...clock.seconds, total: clock.total() },
    counts: clock.counts,
    tokensGenerated: sum(responseLengths),
  };
}

/** Per-token rewards, and from them advantages and returns by GAE; (B, R) each. */
export function advantagesOf(
  { config, controller }: Pick<PpoRun, "config" | "controller">,
  { mask }: Rollout,
  { logprobs, refLogprobs, klFull, values }: Experience,
  scores: readonly number[],
): Record<"klPenalty" | "rewards" | "advantages" | "returns", number[][]> {
  const klPenalty = config.klEstimator === "full"
    ? klFull
    : estimateKl({ logprobs, refLogprobs, mask }, config.klEstimator); // (B, R) nats
  const beta = config.klMode === "reward" ? controller.beta : 0;
  const rewards = tokenRewards({ scores, kl: klPenalty, beta, mask });
  const { advantages, returns } = gae({ rewards, values, mask }, config);
  return { klPenalty, rewards, advantages, returns };
}

/** K epochs of clipped updates on a scored batch; returns the statistics of every optimizer step. */
export function updatePolicy(
  run: Pick<PpoRun, "policy" | "reference" | "optimizer" | "config" | "rng">,
  { rollout, experience, advantages, returns }: {
    rollout: Rollout;
    experience: Experience;
    advantages: number[][];
    returns: number[][];
  },
  { beta, learningRate }: { beta: number; learningRate: number },
): Promise<UpdateStats[]> {
  const { optimizer, config, rng } = run;
  optimizer.learningRate = learningRate;
  const batch = {
    rollout,
    experience,
    returns,
    advantages: config.whitenAdvantages ? whiten(advantages, rollout.mask) : advantages,
  };
  const parts = minibatches(rollout.responseLengths, {
    epochs: config.epochs,
    miniBatchSize: config.miniBatchSize,
    microBatchSize: config.miniBatchSize / config.gradientAccumulation,
  }, rng);
  const klTerm = config.klMode === "loss" ? config.klEstimator : "none";
  return new PolicyUpdate(run, { ...config, klTerm }).run(batch, parts, beta);
}

/** Times a step, phase after phase, and says what each asked of the GPU. */
class Stopwatch {
  readonly seconds = {} as Record<PpoPhase, number>;
  readonly counts = {} as Record<PpoPhase, GpuCounts>;
  readonly #started = performance.now();
  #last: { at: number; counts: GpuCounts };

  constructor(readonly gpu: Gpu) {
    this.#last = { at: this.#started, counts: { ...gpu.counts } };
  }

  /** The end of a phase, which began with the step or with the end of the one before. */
  lap(phase: PpoPhase): void {
    const now = { at: performance.now(), counts: { ...this.gpu.counts } };
    this.seconds[phase] = (now.at - this.#last.at) / 1000;
    this.counts[phase] = countsBetween(this.#last.counts, now.counts);
    this.#last = now;
  }

  /** Seconds since the step began. */
  total(): number {
    return (performance.now() - this.#started) / 1000;
  }
}
