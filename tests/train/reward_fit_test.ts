import { assert, assertEquals, assertRejects } from "@std/assert";
import { initSequenceClassifier } from "../../model/sequence_classifier_weights.ts";
import { parseSequenceClassifierConfig } from "../../model/classifier_config.ts";
import { readTokenizer } from "../../model/tokenizer.ts";
import { RewardEpochs } from "../../train/reward_epochs.ts";
import {
  DivergedError,
  type FitOptions,
  type FitProgress,
  type FitResult,
  fitReward,
} from "../../train/reward_fit.ts";
import { LabelObjective } from "../../train/reward_objectives.ts";
import { RewardTrainer } from "../../train/reward_trainer.ts";
import { Rng } from "../../train/rng.ts";
import { DISTILBERT } from "../helpers/classifiers.ts";
import { withGpu } from "../helpers/gpu.ts";
import { toyLabels } from "../helpers/toy_rewards.ts";

const config = parseSequenceClassifierConfig(
  JSON.parse(await Deno.readTextFile(`${DISTILBERT}/config.json`)),
  "config.json",
);
const tokenizer = await readTokenizer(DISTILBERT);

/** Fits a fresh tiny model on toy labels: how it ended, and everything that was reported, in order. */
async function fit(
  options: Partial<FitOptions>,
  { learningRate = 3e-3, prepare = () => {} }: {
    learningRate?: number;
    prepare?: (trainer: RewardTrainer) => void;
  } = {},
) {
  const progress: FitProgress[] = [];
  const evaluations: { step: number; kept: boolean; accuracy: number }[] = [];
  let keeps = 0;
  let result: FitResult | undefined;
  await withGpu(async (gpu) => {
    const rng = new Rng(1);
    using model = initSequenceClassifier(gpu, { config, tokenizer, normal: () => rng.normal() });
    using trainer = new RewardTrainer(model, {
      objective: new LabelObjective(),
      learningRate: () => learningRate,
    });
    prepare(trainer);
    result = await fitReward(trainer, {
      epochs: 3,
      batchesOf: (epoch) => Array.from({ length: 9 }, (_, i) => toyLabels(16, 100 * epoch + i)),
      validation: toyLabels(64, 99),
      patience: 10,
      keep: () => Promise.resolve(void keeps++),
      onProgress: (line) => progress.push(line),
      onEvaluation: ({ accuracy }, at) => evaluations.push({ ...at, accuracy }),
      ...options,
    });
  });
  return { ...result!, progress, evaluations, keeps };
}

Deno.test("fitReward() evaluates at the end of each epoch and between, and keeps the best", async () => {
  const { kept, stoppedEarly, progress, evaluations, keeps } = await fit({ evalEvery: 6 });
  assertEquals(evaluations.map(({ step }) => step), [6, 9, 12, 18, 24, 27]);
  assertEquals(progress.map(({ step, epoch }) => [step, epoch]), [
    ...[[9, 0], [18, 1], [20, 2], [27, 2]],
  ]);
  assert(progress.at(-1)!.loss < 0.6 && progress[0].loss > 0.6, JSON.stringify(progress));
  const accuracies = evaluations.map(({ accuracy }) => accuracy);
  assertEquals(kept.accuracy, Math.max(...accuracies));
  const isRise = (accuracy: number, i: number) =>
    accuracies.slice(0, i).every((other) => other < accuracy);
  assertEquals(evaluations.map(({ kept }) => kept), accuracies.map(isRise));
  assertEquals([keeps, stoppedEarly], [accuracies.filter(isRise).length, false]);
});

Deno.test("fitReward() stops when the accuracy has not risen for as long as patience lasts", async () => {
  const frozen = { learningRate: 0 };
  const { stoppedEarly, evaluations } = await fit({ evalEvery: 2, patience: 2 }, frozen);
  assertEquals(evaluations.map(({ step, kept }) => [step, kept]), [
    ...[[2, true], [4, false], [6, false]],
  ]);
  assertEquals(stoppedEarly, true);
});

Deno.test("fitReward() with keepLast trains to the end and keeps every model", async () => {
  const last = { evalEvery: 5, patience: 1, epochs: 1, keepLast: true };
  const { stoppedEarly, evaluations, keeps } = await fit(last, { learningRate: 0 });
  assertEquals(evaluations.map(({ step, kept }) => [step, kept]), [[5, true], [9, true]]);
  assertEquals([keeps, stoppedEarly], [2, false]);
});

Deno.test("fitReward() stops with an error when the loss is not a number", async () => {
  const prepare = ({ model: { gpu, values } }: RewardTrainer) => {
    const bias = values.get("classifier.bias");
    gpu.write(bias, new Float32Array(bias.size).fill(NaN));
  };
  const says = "Cannot go on after step 9: the loss is NaN; lower the learning rate";
  await assertRejects(() => fit({}, { prepare }), DivergedError, says);
});

Deno.test("RewardEpochs have the weak examples first, hide words, and repeat themselves", () => {
  const trusted = toyLabels(30, 1);
  const weak = toyLabels(10, 2).map((example) => ({ ...example, source: "weak", weight: 0.3 }));
  const share = new Map([["weak", 0.5]]);
  const options = { epochs: 3, batchSize: 8, seed: 1, weakEpochs: 2, share, tokenizer };
  const epochs = new RewardEpochs({ trusted, weak }, options);
  assertEquals(epochs.totalSteps, 5 + 5 + 4);
  const sizes = [0, 1, 2].map((epoch) => epochs.batches(epoch).map(({ length }) => length));
  assertEquals(sizes.map((batches) => batches.toSorted((a, b) => a - b)), [
    [3, 8, 8, 8, 8],
    [3, 8, 8, 8, 8],
    [6, 8, 8, 8],
  ]);
  const weakIn = (epoch: number) =>
    epochs.batches(epoch).flat().filter(({ weight }) => weight === 0.3).length;
  assertEquals([0, 1, 2].map(weakIn), [5, 5, 0]);
  assertEquals(epochs.batches(1), epochs.batches(1));

  const hiding = new RewardEpochs({ trusted, weak: [] }, { ...options, wordDropout: 0.5 });
  const masks = (epoch: number) =>
    hiding.batches(epoch).flat().flatMap(({ rows }) => rows[0]).filter((id) => id === 4).length;
  assert(masks(0) > 20 && masks(0) < 130, `${masks(0)} of about 150 words are hidden`);
  assertEquals(hiding.batches(2), hiding.batches(2));
});
