/**
 * How much GPU memory a PPO run takes, known before any weight is there.
 *
 * The plan is no table of formulas, which would go wrong with the first buffer that someone adds. It is the run
 * itself: the same models, the same evaluation, the same guard and the same PPO step, on a GPU that allocates, records
 * and checks but holds and computes nothing (`dryWebGpu`), with the longest rows that the settings allow. What it
 * has allocated at its peak is what the real one will have.
 */

import {
  type AdapterKind,
  type AdapterLimits,
  dryWebGpu,
  type Dtype,
  Gpu,
  type PlannedKernel,
  type Tensor,
} from "../kernels/runtime/mod.ts";
import { CausalLM } from "../model/causal_lm.ts";
import type { CausalLMConfig } from "../model/causal_lm_config.ts";
import type { SequenceClassifierConfig } from "../model/classifier_config.ts";
import { SequenceClassifier } from "../model/sequence_classifier.ts";
import type { TextCodec } from "../model/tokenizer.ts";
import type { Reward } from "../reward/reward.ts";
import type { TrainConfig } from "./config.ts";
import { evaluatePolicy, EVALUATION_BATCH } from "./evaluate.ts";
import { Guard } from "./guard.ts";
import { beginRun, loraOptions } from "./open_run.ts";
import { type PpoRun, ppoStep } from "./ppo.ts";
import { sum } from "./stats.ts";

/** What a plan is made from. */
export interface PlanInputs {
  /** Of the policy, and of the reference. */
  model: CausalLMConfig;
  /** Of the classifiers that the reward asks. */
  rewards: readonly SequenceClassifierConfig[];
  /** The run's settings. */
  settings: TrainConfig;
  /** What the adapter allows. */
  limits: AdapterLimits;
  /** How long the prompts are that the policy is trained on, and those that it is evaluated on. */
  promptTokens: { training: PromptLengths; evaluation: PromptLengths };
}

/** Tokens of the shortest and of the longest of some prompts, at least 1. */
export interface PromptLengths {
  /** Tokens of the shortest. */
  shortest: number;
  /** Tokens of the longest. */
  longest: number;
}

/** What is in GPU memory when most is, in bytes. */
export interface MemoryPlan {
  /** What it is for; together `peakBytes`. */
  parts: { name: string; bytes: number }[];
  /** Bytes in all. */
  peakBytes: number;
  /** Of the policy with its value head. */
  parameters: number;
}

/**
 * Plans the memory of a PPO run.
 *
 * @throws {ShapeError} If a tensor exceeds what one binding may cover.
 * @throws {GpuMemoryError} If a tensor exceeds what one buffer may have.
 */
export async function planMemory(inputs: PlanInputs): Promise<MemoryPlan> {
  using resources = new DisposableStack();
  const { run, classifiers } = await dryRun(inputs, resources);
  const { peakBytes } = run.policy.gpu;
  return {
    parts: partsOf(run, classifiers, peakBytes),
    peakBytes,
    parameters: run.policy.layout.count,
  };
}

/**
 * Bytes of every slot of activations, by name, where the longest rows that the settings allow need most.
 *
 * @throws {ShapeError | GpuMemoryError} As {@linkcode planMemory}.
 */
export async function planSlots(
  inputs: PlanInputs,
): Promise<Record<"policy" | "reference", ReadonlyMap<string, number>>> {
  using resources = new DisposableStack();
  const { policy, reference } = (await dryRun(inputs, resources)).run;
  return { policy: policy.arena.slotBytes, reference: reference.arena.slotBytes };
}

/** What a run computes, and by what. */
export interface KernelPlan {
  /** All kernels. */
  kernels: PlannedKernel[];
  /** The kinds of work for which the adapter has not chosen a way; see `Tuning`. */
  undecided: readonly string[];
}

/**
 * The kernels that a run uses on an adapter of this kind; rows of other lengths may need a few more.
 *
 * @throws {ShapeError | GpuMemoryError} As {@linkcode planMemory}.
 */
export async function planKernels(
  inputs: PlanInputs,
  adapter: AdapterKind,
): Promise<KernelPlan> {
  using resources = new DisposableStack();
  const { gpu } = (await dryRun(inputs, resources, adapter)).run.policy;
  return { kernels: [...gpu.pipelines.compiled()], undecided: gpu.tuning.undecided };
}

/**
 * An evaluation, what the guard begins with and a PPO step, all of the longest rows: after these everything is as large as
 * it will be.
 */
async function dryRun(
  inputs: PlanInputs,
  resources: DisposableStack,
  adapter?: AdapterKind,
): Promise<{ run: PpoRun; classifiers: SequenceClassifier[] }> {
  const gpu = resources.use(await Gpu.open({ webgpu: dryWebGpu(inputs.limits, adapter) }));
  gpu.tuning.load(adapter?.tuning?.choices ?? {});
  const { settings, model: config } = inputs;
  const { referenceDtype: dtype } = settings;
  const tokenizer = lettersAsTokens(config.vocabSize);
  const classifiers = inputs.rewards.map((config) => {
    const tokenizer = lettersAsTokens(config.trunk.vocabSize);
    const classifier = new SequenceClassifier(gpu, { config, tokenizer });
    return resources.use(dtype === "f16" ? classifier.halved() : classifier);
  });
  const policy = resources.use(
    new CausalLM(gpu, {
      config,
      tokenizer,
      train: true,
      valueHead: true,
      lora: loraOptions(settings),
      frozenBlocks: settings.freezeLayers,
    }),
  );
  const run = beginRun(resources, {
    policy,
    reference: resources.use(policy.reference({ dtype })),
    reward: rewardBy(classifiers),
    config: { ...settings, epochs: 1 }, // the next one needs nothing more
  });

  const { training, evaluation } = inputs.promptTokens;
  const prompt = (lengths: PromptLengths) => "x".repeat(promptLength(inputs, lengths));
  const responses = Math.min(settings.evalResponses, EVALUATION_BATCH);
  if (responses > 0) {
    await evaluatePolicy(run, [prompt(evaluation)], { ...settings, responses });
  }
  const { batchSize, guardWindow } = settings;
  const prompts = Array(batchSize).fill(prompt(training));
  if (settings.guard && !adapter) { // of kernels it needs few that a step does not, once
    const guard = new Guard({ ...settings, guardWindow: Math.min(guardWindow, batchSize) });
    await guard.begin(run, prompts, { moved: false });
  }
  await ppoStep(run, prompts, { step: 0, learningRate: 0 });
  return { run, classifiers };
}

/** Tokens of the longest row, prompt and response together. */
export function rowLength(
  { settings, model }: Pick<PlanInputs, "settings" | "model">,
  { longest }: PromptLengths,
): number {
  const { maxLength, maxNewTokens = maxLength } = settings;
  return Math.min(longest + maxNewTokens, maxLength, model.nPositions);
}

/** Tokens of a prompt that makes both the row and the response as long as they can be. */
function promptLength(inputs: PlanInputs, lengths: PromptLengths): number {
  const { settings, model } = inputs;
  const limit = Math.min(settings.maxLength, model.nPositions);
  const shortest = Math.min(lengths.shortest, limit - 1); // a run refuses longer ones
  const response = Math.min(settings.maxNewTokens ?? limit, limit - shortest);
  return rowLength(inputs, lengths) - response;
}

/** A tokenizer with one token a letter, whatever it is. No text ends before its limit. */
function lettersAsTokens(vocabSize: number): TextCodec {
  return {
    encode: (text) => Array(text.length).fill(0),
    decode: ({ length }) => "x".repeat(length),
    vocabSize,
    eosId: vocabSize - 1, // what is read from the dry GPU is 0
    bosId: 0,
    specialTokens: [],
    files: {},
  };
}

/** A reward that takes the memory of classifiers. */
function rewardBy(classifiers: readonly SequenceClassifier[]): Reward {
  return {
    name: "plan",
    async score(samples) {
      for (const classifier of classifiers) {
        await classifier.classify(samples.map(({ text }) => text));
      }
      return samples.map(() => 0);
    },
  };
}

function partsOf(
  { policy, reference, optimizer }: PpoRun,
  classifiers: readonly SequenceClassifier[],
  peakBytes: number,
): MemoryPlan["parts"] {
  const slots = [...policy.arena.slotBytes, ...reference.arena.slotBytes];
  const activations = (kind: SlotKind) =>
    sum(slots.filter(([name]) => kindOf(name) === kind).map(([, bytes]) => bytes));
  const parts = [
    { name: "policy", bytes: bytesOf(policy.values.chunks) },
    { name: "adapters", bytes: policy.adapters ? bytesOf(policy.trained.chunks) : 0 },
    { name: "reference", bytes: modelBytes(reference, policy.values.chunks) },
    { name: "gradients", bytes: bytesOf(policy.grads?.chunks ?? []) },
    { name: "AdamW's moments", bytes: bytesOf([...optimizer.m.chunks, ...optimizer.v.chunks]) },
    { name: "activations in training", bytes: activations("training") },
    { name: "activations in scoring", bytes: activations("scoring") },
    { name: "activations in decoding", bytes: activations("decoding") },
    { name: "KV cache", bytes: activations("cache") },
    { name: "logits", bytes: activations("logits") },
    {
      name: "reward model",
      bytes: sum(classifiers.map((classifier) => modelBytes(classifier) + arenaBytes(classifier))),
    },
  ];
  const known = sum(parts.map(({ bytes }) => bytes));
  return [...parts, { name: "other", bytes: peakBytes - known }].filter(({ bytes }) => bytes > 0);
}

type SlotKind = "training" | "scoring" | "decoding" | "cache" | "logits";

/** What a slot of a language model's arena is for. */
function kindOf(slot: string): SlotKind {
  if (slot.startsWith("decode.cache")) return "cache";
  if (slot.endsWith("logits")) return "logits";
  if (slot.startsWith("decode.")) return "decoding";
  // Kept for each layer, gradients, what PPO's loss is made of.
  return /^(h\d|d[a-z]|scratch|ppo)/.test(slot) ? "training" : "scoring";
}

/** Of the memory of tensors, but for what others use too. */
function bytesOf(chunks: readonly Tensor<Dtype>[], others: readonly Tensor[] = []): number {
  const own = chunks.filter(({ storage }) => others.every((other) => other.storage !== storage));
  return sum(own.map(({ storage }) => storage.bytes));
}

/** Of the parameters of a model that is not trained. */
function modelBytes(
  { values, halves }: CausalLM | SequenceClassifier,
  others?: readonly Tensor[],
): number {
  return bytesOf(values.chunks, others) + bytesOf(halves?.chunks ?? []);
}

function arenaBytes({ arena }: SequenceClassifier): number {
  return sum([...arena.slotBytes.values()]);
}
