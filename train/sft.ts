/**
 * `deno task sft`: trains a GPT-2 on text, from a model folder or from random parameters.
 *
 * @module
 */
import type { Gpu } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { parseCausalLMConfig } from "../model/causal_lm_config.ts";
import { initCausalLM, loadCausalLM } from "../model/gpt2_weights.ts";
import { readTokenizer } from "../model/tokenizer.ts";
import { readModelConfig } from "../weights/folder.ts";
import type { ResolvedModel } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { ConfigError } from "./config.ts";
import { nonNegative, positive, share, wholeNumber } from "./flag_values.ts";
import { findModel, NEW } from "./model_source.ts";
import { loraOptions } from "./open_run.ts";
import {
  addExamples,
  addOutputFlags,
  output,
  programCommand,
  programGpu,
  programHub,
  reportError,
} from "./program.ts";
import type { SftValidation } from "./program_events.ts";
import { Rng } from "./rng.ts";
import { learningRateAt } from "./schedule.ts";
import { sftCard } from "./sft_card.ts";
import { sftStepLine, validationLine } from "./sft_lines.ts";
import { SftTrainer } from "./sft_trainer.ts";
import {
  type Documents,
  epochTokens,
  packedBatches,
  readDocuments,
  validationBatches,
} from "./text_data.ts";

/** Its flags. */
export const command = addOutputFlags(
  programCommand(
    "sft",
    "Train a GPT-2 by next-token cross-entropy on a text file of one document a line.",
  )
    .optionsGroup("Model and data:")
    .requiredOption(
      "--model <model|init:model>",
      "model or run folder, or model on the Hub; init: takes its config and tokenizer only",
    )
    .requiredOption("--data <file>", "training text")
    .option("--val <file>", "validation text")
    .requiredOption("--out <dir>", "folder for the trained model")
    .optionsGroup("Optimisation:")
    .option("--epochs <number>", "passes over the training text", positive, 1)
    .option("--steps <number>", "optimizer steps; overrides --epochs", wholeNumber(1))
    .option("--batch-size <rows>", "rows in an optimizer step", wholeNumber(1), 16)
    .option("--gradient-accumulation <parts>", "parts of a batch, one at a time", wholeNumber(1), 1)
    .option("--length <tokens>", "tokens in a row", wholeNumber(1), 96)
    .option("--learning-rate <rate>", "highest learning rate", positive, 1e-3)
    .option("--warmup-steps <steps>", "linear warm-up, before the cosine to 0", wholeNumber(0), 100)
    .option("--weight-decay <rate>", "decay of matrices and embeddings", nonNegative, 0.1)
    .option("--beta2 <decay>", "decay of Adam's second moment", share, 0.99)
    .option("--max-grad-norm <norm>", "clip the gradient to this norm", positive, 1)
    .option("--seed <number>", "seed of parameters and order", wholeNumber(0), 1)
    .optionsGroup("LoRA:")
    .option("--lora-rank <rank>", "rank of adapters to train in place of all", wholeNumber(0), 0)
    .option("--lora-alpha <number>", "they are scaled by this over their rank", positive, 16)
    .option("--lora-targets <layers>", "layers that get one, by commas (default: all that can)")
    .optionsGroup("Output:")
    .option("--eval-every <steps>", "steps between validations and saves", wholeNumber(1), 500),
  { json: true },
);
addExamples(command, [
  "sft --model gpt2 --data train.txt --val val.txt --out runs/lm --learning-rate 1e-4",
  "sft --model init:weights/review-gpt2 --data train.txt --out runs/lm --epochs 3",
]);

if (import.meta.main) {
  await reportError(() => main(command.parse(Deno.args, { from: "user" }).opts()));
}

type Options = ReturnType<typeof command.opts>;

async function main({ quiet, json, ...options }: Options): Promise<void> {
  const { batchSize, gradientAccumulation, length } = options;
  if (batchSize % gradientAccumulation !== 0) {
    throw new ConfigError(
      `Cannot use --batch-size ${batchSize} with --gradient-accumulation ${gradientAccumulation}: ` +
        "the batch size must be a multiple of it",
    );
  }
  expectAdaptable(options);
  const { say, result, emit, screen } = output({ quiet, json });
  const hub = programHub(screen);
  const isNew = options.model.startsWith(NEW);
  const source = await findModel(isNew ? options.model.slice(NEW.length) : options.model, hub);
  using gpu = await programGpu();
  using model = isNew
    ? await initFrom(gpu, source.folder, options.seed)
    : await openModel(gpu, source, { ...options, hub });
  const { tokenizer, config } = model;
  if (length > config.nPositions) {
    throw new ConfigError(
      `Cannot use --length ${length}: it must be at most the model's context, ${config.nPositions}`,
    );
  }
  const train = await readDocuments(options.data, tokenizer);
  const validation = options.val ? await readDocuments(options.val, tokenizer) : undefined;
  await Deno.mkdir(options.out, { recursive: true }); // better now than after the training
  const perStep = batchSize * length;
  const totalSteps = options.steps ?? Math.ceil(options.epochs * epochTokens(train) / perStep);
  const schedule = {
    kind: "cosine" as const,
    learningRate: options.learningRate,
    warmupSteps: Math.min(options.warmupSteps, totalSteps - 1),
    totalSteps,
  };
  using trainer = new SftTrainer(model, {
    learningRate: (step) => learningRateAt(step, schedule),
    gradientAccumulation,
    beta2: options.beta2,
    weightDecay: options.weightDecay,
    decayAll: false,
    maxGradNorm: options.maxGradNorm,
  });
  const adapters = model.adapters ? `, of adapters ${model.trained.layout.count} more,` : "";
  say(
    `${model.layout.count} parameters${adapters} on ${gpu.description}; ` +
      `${epochTokens(train)} tokens, ${totalSteps} steps of ${perStep} tokens`,
  );

  const batches = packedBatches(train, {
    batchSize,
    length,
    eosId: tokenizer.eosId,
    rng: new Rng(options.seed, "sft"),
  });
  emit({
    event: "start",
    program: "sft",
    model: options.model,
    adapter: gpu.description,
    parameters: model.trained.layout.count,
    steps: totalSteps,
  });
  using bar = screen.begin({ name: "training", unit: "steps", total: totalSteps });
  let validated: SftValidation | undefined;
  for (let step = 1; step <= totalSteps; step++) {
    const isLast = step === totalSteps;
    const { value: rows } = batches.next();
    const started = performance.now();
    const { loss, gradNorm } = await trainer.step(rows);
    const seconds = (performance.now() - started) / 1000;
    bar.update(step);
    const speed = { tokens_per_second: perStep / seconds, seconds };
    emit({ event: "step", step, metrics: { loss, grad_norm: gradNorm, ...speed } });
    if (step % 10 === 0 || isLast) {
      say(sftStepLine({ step, totalSteps, loss, gradNorm, tokens: perStep, seconds }));
    }
    if (step % options.evalEvery === 0 || isLast) {
      validated = validation && await validate(trainer, validation, length);
      const line = validated && validationLine(validated);
      if (line) (isLast ? result : say)(line);
      if (validated) emit({ event: "evaluation", of: "validation", step, ...validated });
      const figures = { steps: step, tokens: step * perStep, loss, validation: line };
      await model.savePretrained(options.out, {
        card: sftCard({ options, source: source.folder, ...figures }),
      });
      emit({ event: "checkpoint", step, folder: options.out });
    }
  }
  result(`saved ${options.out}`);
  emit({
    event: "end",
    steps: totalSteps,
    folder: options.out,
    ...(validated && { validation: validated }),
  });
}

/** Adapters are of no use without the model below them, which has to be one that others can have too. */
function expectAdaptable({ model, loraRank, loraTargets }: Options): void {
  if (loraTargets !== undefined && loraRank === 0) {
    throw new ConfigError("Cannot use --lora-targets without adapters; give --lora-rank too");
  }
  if (loraRank === 0 || !model.startsWith(NEW)) return;
  throw new ConfigError(
    `Cannot use --lora-rank with ${model}: random parameters are not kept beside their adapters; ` +
      "train all of them first",
  );
}

function openModel(
  gpu: Gpu,
  { folder, name }: ResolvedModel,
  { hub, seed, loraRank, loraAlpha, loraTargets = "" }: Options & { hub: HubOptions },
): Promise<CausalLM> {
  const rng = new Rng(seed, "lora");
  const lora = loraOptions({ loraRank, loraAlpha, loraTargets });
  return loadCausalLM(gpu, folder, {
    train: true,
    hub,
    ...(name !== folder && { name }),
    ...(lora && { lora: { ...lora, uniform: () => rng.next() } }),
  });
}

async function initFrom(gpu: Gpu, folder: string, seed: number): Promise<CausalLM> {
  const config = parseCausalLMConfig(await readModelConfig(folder), `${folder}/config.json`);
  const rng = new Rng(seed, "init");
  const tokenizer = await readTokenizer(folder);
  return initCausalLM(gpu, { config, tokenizer, normal: () => rng.normal() });
}

async function validate(
  trainer: SftTrainer,
  data: Documents,
  length: number,
): Promise<SftValidation> {
  const { tokenizer: { eosId }, config } = trainer.model;
  const columns = Math.min(length + 1, config.nPositions);
  let nats = 0;
  let tokens = 0;
  for (const rows of validationBatches(data, { batchSize: 32, length: columns, eosId })) {
    const stats = await trainer.evaluate(rows);
    nats += stats.loss * stats.tokens;
    tokens += stats.tokens;
  }
  return { natsPerToken: nats / tokens, natsPerByte: nats / data.bytes, bytes: data.bytes };
}
