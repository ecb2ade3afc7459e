/**
 * `deno task reward`: trains a reward from labelled texts, or from pairs of a better and a worse answer.
 *
 * @module
 */
import type { SequenceClassifier } from "../model/sequence_classifier.ts";
import { ConfigError } from "./config.ts";
import { nonNegative, positive, share, wholeNumber } from "./flag_values.ts";
import { holdOut, withoutTextsOf } from "./held_out.ts";
import { findSource } from "./model_source.ts";
import {
  addExamples,
  addOutputFlags,
  output,
  programCommand,
  programGpu,
  programHub,
  reportError,
} from "./program.ts";
import {
  balanceLabels,
  encodeRecords,
  expectClasses,
  readRewardData,
  type RewardData,
  type RewardExample,
} from "./reward_data.ts";
import { RewardEpochs } from "./reward_epochs.ts";
import { fitReward } from "./reward_fit.ts";
import { names, sourceShares, weakFile } from "./reward_flags.ts";
import { evaluationLine, progressLine } from "./reward_lines.ts";
import { openRewardModel } from "./reward_model.ts";
import { LabelObjective, PairObjective } from "./reward_objectives.ts";
import { RewardTrainer } from "./reward_trainer.ts";
import { Rng } from "./rng.ts";
import { learningRateAt } from "./schedule.ts";

/** Its flags. */
export const command = addOutputFlags(
  programCommand(
    "reward",
    "Train a reward: a classifier from lines of {text, label}, or a scorer from lines of " +
      "{prompt, chosen, rejected}. The model that is best on held-out data is kept.",
  )
    .optionsGroup("Model and data:")
    .requiredOption("--data <file>", "training data, JSON lines")
    .requiredOption(
      "--model <model|init:model>",
      "DistilBERT or GPT-2, a folder or on the Hub; init: takes its config and tokenizer only",
    )
    .requiredOption("--out <dir>", "folder for the trained model")
    .option("--val <file>", "held-out data; without it a tenth of the training data")
    .option("--weak <file:weight>", "noisier data to add, and the weight of its loss", weakFile)
    .option("--weak-epochs <number>", "first epochs, which have it; else all", wholeNumber(1))
    .option("--labels <names>", "the labels 0, 1 and so on, with commas; else the model's", names)
    .option("--share <source:share...>", "part of a source in an epoch, drawn anew", sourceShares)
    .option("--balance", "weigh labels so that each counts alike")
    .optionsGroup("Optimisation:")
    .option("--epochs <number>", "passes over the training data", wholeNumber(1), 4)
    .option("--batch-size <examples>", "examples in an optimizer step", wholeNumber(1), 64)
    .option("--gradient-accumulation <parts>", "parts of a batch, one at a time", wholeNumber(1), 1)
    .option("--learning-rate <rate>", "highest rate; 5e-4 from init:, else 5e-5", positive)
    .option("--warmup <share>", "share of the steps, before the line to 0", share, 0.06)
    .option("--weight-decay <rate>", "decay of matrices and embeddings", nonNegative, 0.01)
    .option("--max-grad-norm <norm>", "clip the gradient to this norm", positive, 1)
    .option("--seed <number>", "seed of parameters, order and held-out data", wholeNumber(0), 1)
    .optionsGroup("Regularisation:")
    .option("--word-dropout <share>", "words hidden in training, of a WordPiece model", share, 0)
    .option("--crop <share>", "long texts cut at both ends in training, likewise", share, 0)
    .option("--label-smoothing <share>", "share of a label's weight that all labels get", share, 0)
    .option("--centring <weight>", "of pairs: keep the scores around 0", nonNegative, 0)
    .optionsGroup("Evaluation:")
    .option("--eval-every <steps>", "steps between evaluations, beside epochs", wholeNumber(1))
    .option("--patience <number>", "evaluations without a rise before the end", wholeNumber(1), 3)
    .option("--keep-last", "train to the end and keep the last model, not the best"),
  { json: true },
);
addExamples(command, [
  "reward --data reviews.jsonl --model init:weights/review-distilbert --out runs/reward",
  "reward --data pairs.jsonl --model gpt2 --out runs/reward --batch-size 8",
]);

if (import.meta.main) {
  await reportError(() => main(command.parse(Deno.args, { from: "user" }).opts()));
}

type Options = ReturnType<typeof command.opts>;

async function main(options: Options): Promise<void> {
  const { say, result, emit, screen } = output(options);
  const { kind, train, validation, weak } = await readFiles(options, say);
  const source = await findSource(options.model, programHub(screen));
  using gpu = await programGpu();
  using model = await openRewardModel(gpu, source, { ...options, kind });
  const encode = (data: RewardData, weight?: number) => encodeAll(data, model, { weight, say });
  const examples = encode(train);
  const held = encode(validation);
  const noisy = weak && encode(weak, options.weak!.weight);
  const epochs = new RewardEpochs(
    { trusted: options.balance ? balanceLabels(examples) : examples, weak: noisy ?? [] },
    { ...options, tokenizer: model.tokenizer },
  );
  const schedule = {
    kind: "linear" as const,
    learningRate: options.learningRate ?? (options.model.startsWith("init:") ? 5e-4 : 5e-5),
    warmupSteps: Math.floor(options.warmup * epochs.totalSteps),
    totalSteps: epochs.totalSteps,
  };
  using trainer = new RewardTrainer(model, {
    objective: kind === "labels" ? new LabelObjective(options) : new PairObjective(options),
    learningRate: (step) => learningRateAt(step, schedule),
    gradientAccumulation: options.gradientAccumulation,
    weightDecay: options.weightDecay,
    decayAll: false,
    maxGradNorm: options.maxGradNorm,
  });
  say(
    `${model.layout.count} parameters on ${gpu.description}, ` +
      (model.freshHead ? "with a new head; " : "") +
      `${examples.length} ${kind} and ${held.length} held out, ${epochs.totalSteps} steps`,
  );
  await Deno.mkdir(options.out, { recursive: true }); // better now than after the training
  emit({
    event: "start",
    program: "reward",
    model: options.model,
    adapter: gpu.description,
    parameters: model.layout.count,
    steps: epochs.totalSteps,
  });
  using bar = screen.begin({ name: "training", unit: "steps", total: epochs.totalSteps });
  const started = performance.now();
  const { kept, stoppedEarly } = await fitReward(trainer, {
    epochs: options.epochs,
    batchesOf: (epoch) => epochs.batches(epoch),
    validation: held,
    ...(options.evalEvery && { evalEvery: options.evalEvery }),
    patience: options.patience,
    ...(options.keepLast && { keepLast: true }),
    keep: () => model.savePretrained(options.out),
    onProgress: (progress) => {
      const { step, loss, gradNorm } = progress;
      const seconds = (performance.now() - started) / 1000;
      bar.update(step);
      say(progressLine(progress, { ...options, totalSteps: epochs.totalSteps, seconds }));
      const metrics = { loss, grad_norm: gradNorm, steps_per_second: step / seconds };
      emit({ event: "step", step, metrics });
    },
    onEvaluation: (evaluation, { step, kept }) => {
      say(`held out: ${evaluationLine(evaluation)}${kept ? "" : " | not better"}`);
      emit({ event: "evaluation", of: "validation", step, ...evaluation });
      if (kept) emit({ event: "checkpoint", step, folder: options.out });
    },
  });
  if (stoppedEarly) say(`stopped: no rise in ${options.patience} evaluations`);
  result(`saved ${options.out}: ${evaluationLine(kept)}`);
  emit({ event: "end", steps: trainer.steps, folder: options.out, validation: kept });
}

/** The files' records, of one kind, and none of their texts both learned from and held out. */
async function readFiles(options: Options, say: (line: string) => void): Promise<{
  kind: RewardData["kind"];
  train: RewardData;
  validation: RewardData;
  weak: RewardData | undefined;
}> {
  const data = await readRewardData(options.data);
  const read = async (file: string) => {
    const other = await readRewardData(file);
    if (other.kind === data.kind) return other;
    throw new ConfigError(
      `Cannot use ${file} with ${data.file}: it has ${other.kind}, and that has ${data.kind}; ` +
        "train on one kind",
    );
  };
  const { train, validation } = options.val === undefined
    ? holdOut(data, new Rng(options.seed, "held-out"))
    : { train: data, validation: await read(options.val) };
  const kept = withoutTextsOf(train, validation);
  const dropped = train.records.length - kept.records.length;
  if (dropped > 0) say(`${data.file}: left out ${dropped} records that are held out too`);
  expectClasses(kept);
  const weak = options.weak && withoutTextsOf(await read(options.weak.file), validation);
  return { kind: data.kind, train: kept, validation, weak };
}

function encodeAll(
  data: RewardData,
  model: SequenceClassifier,
  { weight, say }: { weight: number | undefined; say: (line: string) => void },
): RewardExample[] {
  const { examples, truncated } = encodeRecords(data, model, weight);
  if (truncated > 0) {
    const context = model.config.trunk.nPositions;
    say(`${data.file}: cut ${truncated} texts to the model's context of ${context} tokens`);
  }
  return examples;
}
