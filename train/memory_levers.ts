/** The settings that save GPU memory. */

import type { TrainConfig } from "./config.ts";
import { type PlanInputs, rowLength } from "./plan.ts";

/** Settings that are changed. */
export type Patch = Partial<TrainConfig>;

/**
 * A setting that saves memory: what it can be changed to, from the mildest change to the strongest, with whatever
 * must change along with it.
 */
export type Lever = (inputs: PlanInputs) => Patch[];

/** Pieces of a minibatch: slower, and nothing else changes. */
function accumulate({ settings: { miniBatchSize, gradientAccumulation } }: PlanInputs): Patch[] {
  return divisorsOf(miniBatchSize)
    .filter((pieces) => pieces > gradientAccumulation)
    .map((pieces) => ({ gradientAccumulation: pieces }));
}

/** An evaluation that takes no more rows at a time than training does. */
function evaluateFewer({ settings: { batchSize, evalResponses } }: PlanInputs): Patch[] {
  return batchSize < evalResponses ? [{ evalResponses: batchSize }] : [];
}

/** A reference and rewards whose matrices are rounded, which changes the KL in its sixth decimal. */
function halve({ settings: { referenceDtype } }: PlanInputs): Patch[] {
  return referenceDtype === "f32" ? [{ referenceDtype: "f16" }] : [];
}

/** Shorter rows, as long as there is room for a response. */
function shorten(inputs: PlanInputs): Patch[] {
  const { maxNewTokens = Infinity, minNewTokens } = inputs.settings;
  const { training, evaluation } = inputs.promptTokens;
  const now = rowLength(inputs, training);
  return [0.75, 0.5, 0.375, 0.25, 0.125]
    .map((share) => Math.floor(share * now))
    .filter((length) => length > Math.max(training.longest, evaluation.longest, minNewTokens))
    .map((maxLength) => ({
      maxLength,
      ...(maxNewTokens < Infinity && { maxNewTokens: Math.min(maxNewTokens, maxLength - 1) }),
    }));
}

/** Fewer layers that are trained: no gradients, no moments and no second copy of the others. */
function freeze({ settings: { freezeLayers }, model: { nLayer } }: PlanInputs): Patch[] {
  return [0.25, 0.5, 0.75]
    .map((share) => Math.ceil(share * nLayer))
    .filter((layers) => layers > freezeLayers && layers < nLayer)
    .map((layers) => ({ freezeLayers: layers }));
}

/** Adapters in place of the model. */
function adapt({ settings: { loraRank } }: PlanInputs): Patch[] {
  return loraRank === 0 ? [{ loraRank: 8 }] : [];
}

/** Fewer responses a step, which makes gradients noisier. */
function sampleFewer({ settings }: PlanInputs): Patch[] {
  const { batchSize, miniBatchSize, gradientAccumulation } = settings;
  const patches = [];
  for (let size = batchSize >> 1; size >= 1; size >>= 1) {
    const mini = largestDivisor(size, miniBatchSize);
    const pieces = largestDivisor(mini, gradientAccumulation);
    patches.push({
      batchSize: size,
      ...(mini !== miniBatchSize && { miniBatchSize: mini }),
      ...(pieces !== gradientAccumulation && { gradientAccumulation: pieces }),
    });
  }
  return patches;
}

/** From the one that costs least to the one that costs most. */
export const LEVERS: readonly Lever[] = [
  accumulate,
  evaluateFewer,
  halve,
  shorten,
  freeze,
  adapt,
  sampleFewer,
];

function divisorsOf(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1).filter((divisor) => n % divisor === 0);
}

function largestDivisor(n: number, most: number): number {
  return divisorsOf(n).filter((divisor) => divisor <= most).at(-1)!;
}
