/**
 * The settings of a PPO run: what each means, what is allowed, and the defaults.
 *
 * One table, from which come the checks, the flags, the environment variables and the
 * help. How a run's settings are put together from all sources is in `config_resolve.ts`.
 */

import * as z from "zod";
import { parseBytes } from "./byte_size.ts";
import { readActions, RULES } from "./guard_rules.ts";
import { holdsSecret } from "../weights/secrets.ts";
import { isMetricName } from "./metric_table.ts";
import { isServiceUrl, isTrackioServer } from "./sink_address.ts";
import type { SettingName, TrainConfig } from "./train_config.ts";

export type { SettingName, TrainConfig } from "./train_config.ts";

/** A setting that does not exist, has an impossible value, or does not go with another. */
export class ConfigError extends RangeError {
  /** The name of the class. */
  override name = "ConfigError";
}

/** What `--help` and messages say of a setting, beside its value. */
type SettingKind = "number" | "boolean" | "text";

/** Every setting, in the order of `--help`. */
const SHAPE = {
  model: text("what is trained: a folder, run folder or Hub model; empty for weights/review-gpt2"),
  reward: z.string().min(1).refine((name) => !holdsSecret(name)).meta({
    description: "what scores the responses",
    allowed:
      "sentiment, heuristic, a classifier (a folder, or on the Hub), a module (.ts, .js), a URL " +
      "without password or key, or a file of parts (.toml, .yaml, .json), whose URLs may have them",
    kind: "text",
  }),
  positiveFactor: number("score of a positive text, times the classifier's confidence", {
    min: -100,
    max: 100,
  }),
  negativeFactor: number("score of a negative text, times the classifier's confidence", {
    min: -100,
    max: 100,
  }),
  positiveLabel: text("the classifier's label that is positive; empty to tell it by its name"),
  classifiedText: choice("what a classifier reads: prompt and response, or the response alone", [
    "text",
    "response",
  ]),
  rewardTimeout: integer("ms that the scores of a batch may take; 0 for no limit", {
    min: 0,
    max: 2 ** 31 - 1, // what a timer can do
  }),
  normaliseScores: boolean("scale scores by the mean and deviation of all scores so far"),
  rewardScale: number("scores are then multiplied by it", { above: 0 }),
  rewardClip: number("and then limited to this distance from 0; 0 for no limit", { min: 0 }),
  judge: z.string().refine((name) => !holdsSecret(name)).meta({
    description: "a second reward, which scores evaluations only; empty for none",
    allowed: "what reward takes, `judge` for the embedded one, or empty",
    kind: "text",
  }),
  prompts: text(
    "file of prompts: lines, or JSONL of `prompt` or `messages`; empty for the built-in set",
  ),
  template: text("Jinja template that makes a prompt of a JSONL record"),
  specialTokens: boolean(
    "take a special token that is spelled in a prompt for the token; always so in chats",
  ),
  out: path("run folder; runs/<date>-<time> by default"),

  steps: integer("PPO steps to take", { min: 1 }),
  seed: integer("seed of everything random", { min: 0, max: 2 ** 32 - 1 }),
  batchSize: integer("responses per PPO step", { min: 1 }),
  miniBatchSize: integer("responses per optimizer step; divides the batch size", { min: 1 }),
  gradientAccumulation: integer(
    "pieces that a minibatch is computed in; saves memory, changes nothing else",
    { min: 1 },
  ),
  epochs: integer("passes over each batch", { min: 1 }),
  memoryBudget: z.string()
    .refine((size) => size === "" || parseBytes(size) !== undefined)
    .meta({
      description: "most GPU memory that the run may take; empty for what the adapter has",
      allowed: "a size such as 8GiB or 500MB, or empty",
      kind: "text",
    }),

  learningRate: number("highest learning rate of AdamW", { min: 0 }),
  lrSchedule: choice("how the learning rate goes on after the warm-up", [
    "constant",
    "linear",
    "cosine",
  ]),
  warmupSteps: integer("PPO steps in which the learning rate rises", { min: 0 }),
  beta1: number("decay of AdamW's first moment", { min: 0, below: 1 }),
  beta2: number("decay of AdamW's second moment", { min: 0, below: 1 }),
  adamEpsilon: number("added to the root of AdamW's second moment", { above: 0 }),
  weightDecay: number("decoupled weight decay of AdamW", { min: 0 }),
  maxGradNorm: number("norm to which a larger gradient is scaled down; 0 for no limit", { min: 0 }),

  freezeLayers: integer(
    "first blocks that are not trained, with the embeddings; saves memory; 0 for none",
    { min: 0 },
  ),
  referenceDtype: choice(
    // On the goldens 16 bits shift the KL by less than 1e-6 nats per token.
    "how reference and classifiers keep their matrices; f16 takes half the memory",
    ["f32", "f16"],
  ),
  loraRank: integer("rank of the adapters that are trained in place of the model; 0 for none", {
    min: 0,
  }),
  loraAlpha: number("the adapters are scaled by this over their rank", { above: 0 }),
  loraTargets: text("layers that get an adapter, by commas; empty for all of attention and MLP"),
  saveMerged: boolean("also save the model with its adapters merged, in the run folder's merged/"),

  klCoef: number("weight of the KL at the start (beta)", { min: 0 }),
  klTarget: number("KL to the reference that the controller holds, nats per token", { above: 0 }),
  klController: choice("how the weight of the KL moves", ["band", "proportional", "fixed"]),
  klHorizon: number(
    "responses in which the proportional controller corrects an error; 50 x batch by default",
    { above: 0 },
  ),
  klFactor: number("what the band controller multiplies or divides by", { above: 1 }),
  klMin: number("lowest weight of the KL that a controller goes to", { above: 0 }),
  klMax: number("highest weight of the KL that a controller goes to", { above: 0 }),
  klMode: choice("where the KL is charged: as a term of the loss, or per token in the reward", [
    "loss",
    "reward",
  ]),
  klEstimator: choice(
    "KL per token: exact over the vocabulary, or an estimate from the sampled token",
    ["full", "k1", "k2", "k3", "abs"],
  ),

  clipRange: number("how far the policy's ratio may move from 1", { above: 0 }),
  valueClipRange: number("how far a value may move from the old one", { above: 0 }),
  valueCoef: number("weight of the value loss", { min: 0 }),
  entropyCoef: number("weight of the entropy bonus", { min: 0 }),
  gamma: number("discount per token", { min: 0, max: 1 }),
  lambda: number("decay of generalised advantage estimation", { min: 0, max: 1 }),
  whitenAdvantages: boolean("scale the batch's advantages to mean 0 and variance 1"),

  maxLength: integer("tokens of prompt and response together, at most", { min: 2 }),
  maxNewTokens: integer("tokens of a response, at most; what maxLength leaves by default", {
    min: 1,
  }).optional(),
  minNewTokens: integer("tokens before a response may end", { min: 0 }),
  temperature: number("the logits are divided by it", { above: 0 }),
  topK: integer("sample from the most probable tokens only; 0 for all", { min: 0 }),
  topP: number("sample from the smallest set of tokens with this probability", {
    above: 0,
    max: 1,
  }),

  guard: boolean("watch the run, and act where it goes wrong"),
  guardActions: actions(
    "what the guard does in place of a default: rule=action, with commas between",
  ),
  guardWindow: integer("newest responses that the guard compares with the reference's own", {
    min: 2,
  }),
  guardSkips: integer("steps in a row that may be skipped before the run ends", { min: 0 }),
  guardRollbacks: integer("times that the run may go back to a checkpoint", { min: 0 }),
  guardKlFactor: number("what a rollback multiplies the weight of the KL by", { above: 1 }),
  guardFirstRatio: number("log-ratio, in nats, that an unmoved policy may have", { above: 0 }),
  guardRatio: number("factor that the mean ratio may be away from 1", { above: 1 }),
  guardKl: number(
    "KL that is an explosion, nats per token; 10 x klTarget by default",
    { above: 0 },
  ).optional(),
  guardEntropy: number("lowest entropy, as a share of the reference's", { min: 0, max: 1 }),
  guardDistinct: number("lowest distinct-2, as a share of the reference's", { min: 0, max: 1 }),
  guardRepetition: number("share of repeated word pairs above the reference's own", {
    min: 0,
    max: 1,
  }),
  guardLength: number("shortest mean response, as a share of the reference's", {
    min: 0,
    max: 1,
  }),
  guardPerplexity: number(
    "perplexity for the reference, in that of its own texts, up to which a score may rise",
    { above: 1 },
  ),

  saveEvery: integer("PPO steps between checkpoints; 0 for one at the end only", { min: 0 }),
  keep: integer("newest checkpoints that are kept, beside the best; 0 for all", { min: 0 }),
  bestMetric: metric("makes a checkpoint the best, by its mean since the one before"),
  sampleEvery: integer("PPO steps between printed samples; 0 for none", { min: 0 }),
  evalResponses: integer(
    "responses to held-out prompts in the before/after table; 0 for no table",
    { min: 0 },
  ),
  gpuTimeout: number("seconds that the GPU may take before the run is ended; 0 for no limit", {
    min: 0,
    max: 86_400,
  }),
  json: boolean("print JSON lines instead of text"),
  trackio: z.string().refine((server) => server === "" || isTrackioServer(server)).meta({
    description: "Trackio server or Space that gets every step's metrics; empty for none",
    allowed: "a URL without password or key, a Space as user/space, or empty",
    kind: "text",
  }),
  mlflow: z.string().refine((server) => server === "" || isServiceUrl(server)).meta({
    description: "MLflow server that gets every step's metrics; empty for none",
    allowed: "a URL without password or key, or empty",
    kind: "text",
  }),
  project: z.string().min(1).meta({
    description: "what Trackio calls the project and MLflow the experiment",
    allowed: "text, not empty",
    kind: "text",
  }),
} satisfies { [Name in SettingName]: z.ZodType<TrainConfig[Name]> };

/** Checks a whole configuration, each setting for itself. */
export const trainConfigSchema = z.strictObject(SHAPE);

/** A setting as programs present it. */
export interface Setting {
  readonly name: SettingName;
  /** Without the dashes: `learning-rate`. */
  readonly flag: string;
  /** `KL_GUARD_LEARNING_RATE`. */
  readonly variable: string;
  /** Meaning and unit in one line. */
  readonly doc: string;
  /** What values it takes: "a number above 0". */
  readonly allowed: string;
  readonly kind: SettingKind;
  /** Under which `--help` has it. */
  readonly group: string;
  readonly schema: z.ZodType;
}

/** The groups of `--help`, by the setting that each begins with; one may go on after others. */
const GROUPS: Partial<Record<string, string>> = {
  model: "Model",
  reward: "Reward",
  prompts: "Data",
  out: "Run",
  batchSize: "PPO",
  memoryBudget: "Memory",
  learningRate: "Optimisation",
  freezeLayers: "Memory",
  loraRank: "LoRA",
  klCoef: "KL",
  clipRange: "PPO",
  maxLength: "Generation",
  guard: "Guard",
  saveEvery: "Checkpoints",
  sampleEvery: "Output",
  gpuTimeout: "Run",
  json: "Output",
} satisfies Partial<Record<SettingName, string>>;

/** What environment variables for settings begin with. */
export const VARIABLE_PREFIX = "KL_GUARD_";

/** Every setting, in the order of `--help`. */
export const SETTINGS: readonly Setting[] = Object.entries(SHAPE).map(([name, schema], index) => {
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema;
  const { description, allowed, kind } = inner.meta() as Record<string, string>;
  return {
    name: name as SettingName,
    flag: separated(name, "-"),
    variable: VARIABLE_PREFIX + separated(name, "_").toUpperCase(),
    doc: description!,
    allowed: allowed!,
    kind: kind as SettingKind,
    group: Object.keys(SHAPE).slice(0, index + 1).map((name) => GROUPS[name]).findLast(Boolean)!,
    schema,
  };
});

/** `learningRate` as `learning-rate` or `learning_rate`. */
export function separated(name: string, separator: "-" | "_"): string {
  return name.replace(/[A-Z]/g, (letter) => separator + letter.toLowerCase());
}

/** What {@linkcode classicalDefaults} and {@linkcode embeddedDefaults} leave to the other settings. */
type Defaults = Omit<TrainConfig, "klHorizon" | "out">;

const COMMON = {
  model: "",
  reward: "sentiment",
  positiveFactor: 2,
  negativeFactor: -0.5,
  positiveLabel: "",
  classifiedText: "text",
  rewardTimeout: 600_000,
  normaliseScores: false,
  rewardScale: 1,
  rewardClip: 0,
  judge: "",
  prompts: "",
  template: "",
  specialTokens: false,
  seed: 0,
  gradientAccumulation: 1,
  epochs: 4, // TRL 0.7 to now
  memoryBudget: "",
  lrSchedule: "constant",
  warmupSteps: 0,
  beta1: 0.9, // these three as torch.optim.AdamW
  beta2: 0.999,
  adamEpsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
  freezeLayers: 0,
  referenceDtype: "f32",
  loraRank: 0,
  loraAlpha: 16,
  loraTargets: "",
  saveMerged: false,
  klController: "band",
  klFactor: 1.1,
  klMin: 1e-4,
  klMax: 10,
  klMode: "loss",
  klEstimator: "full",
  clipRange: 0.2, // Schulman et al. 2017 (arXiv:1707.06347) section 6.1
  valueClipRange: 0.2, // this and the next four as Ziegler et al. 2019 (openai/lm-human-preferences)
  valueCoef: 0.1,
  entropyCoef: 0,
  gamma: 1,
  lambda: 0.95,
  whitenAdvantages: true,
  maxLength: 80,
  minNewTokens: 0,
  temperature: 1,
  topK: 0,
  topP: 1,
  guard: true,
  guardActions: "",
  guardWindow: 32,
  guardSkips: 3,
  guardRollbacks: 3,
  guardKlFactor: 2,
  guardFirstRatio: 1e-3,
  guardRatio: 10, // ratio_threshold of TRL 0.11
  guardEntropy: 0.5,
  guardDistinct: 0.5,
  guardRepetition: 0.25,
  guardLength: 0.25,
  guardPerplexity: 3,
  saveEvery: 10,
  keep: 3,
  bestMetric: "objective/rlhf_reward",
  gpuTimeout: 1800,
  json: false,
  trackio: "",
  mlflow: "",
  project: "kl-guard",
} as const;

/** Defaults for a model that the user names: small batches, which fit where the model does. */
export const classicalDefaults: Defaults = {
  ...COMMON,
  steps: 50,
  batchSize: 2,
  miniBatchSize: 1,
  learningRate: 1e-5,
  klCoef: 0.2,
  klTarget: 0.01,
  sampleEvery: 5,
  evalResponses: 12,
};

/**
 * Defaults for the embedded model, which is small enough to learn visibly within minutes. The run begins near the weight
 * at which the KL settles; docs/default-run.md has what else was tried.
 */
export const embeddedDefaults: Defaults = {
  ...COMMON,
  judge: "judge",
  steps: 75,
  batchSize: 64,
  miniBatchSize: 64,
  epochs: 2,
  learningRate: 2e-4,
  lrSchedule: "linear",
  klCoef: 0.25,
  klTarget: 0.12,
  klMin: 0.1,
  maxNewTokens: 24,
  sampleEvery: 10,
  evalResponses: 480,
};

interface Range {
  min?: number;
  above?: number;
  max?: number;
  below?: number;
}

function number(description: string, range: Range): z.ZodNumber {
  return ranged(z.number(), range).meta({
    description,
    allowed: `a number ${describe(range)}`,
    kind: "number",
  });
}

function integer(description: string, range: Range): z.ZodNumber {
  return ranged(z.int(), range).meta({
    description,
    allowed: `a whole number ${describe(range)}`,
    kind: "number",
  });
}

function boolean(description: string): z.ZodBoolean {
  return z.boolean().meta({ description, allowed: "true or false", kind: "boolean" });
}

function text(description: string): z.ZodString {
  return z.string().meta({ description, allowed: "text", kind: "text" });
}

function path(description: string): z.ZodString {
  return z.string().min(1).meta({ description, allowed: "a path", kind: "text" });
}

function metric(description: string): z.ZodString {
  const allowed = "the name of a metric, -NAME where lower is better, or empty for no best";
  return z.string()
    .refine((name) => name === "" || isMetricName(name.replace(/^-/, "")))
    .meta({ description, allowed, kind: "text" });
}

function actions(description: string): z.ZodString {
  const allowed = Object.entries(RULES).map(([rule, { actions }]) =>
    `${rule}=${actions.join("|")}`
  );
  return z.string()
    .refine((text) => readActions(text) !== undefined)
    .meta({ description, allowed: `pairs of ${allowed.join(", ")}`, kind: "text" });
}

function choice<const T extends readonly string[]>(description: string, values: T) {
  const allowed = values.length === 1 ? values[0] : `one of ${values.join(", ")}`;
  return z.enum(values).meta({ description, allowed, kind: "text" });
}

function ranged(schema: z.ZodNumber, { min, above, max, below }: Range): z.ZodNumber {
  if (min !== undefined) schema = schema.min(min);
  if (above !== undefined) schema = schema.gt(above);
  if (max !== undefined) schema = schema.max(max);
  if (below !== undefined) schema = schema.lt(below);
  return schema;
}

/** "from 0 to 1", "above 0 and at most 1", "above 0". */
function describe({ min, above, max, below }: Range): string {
  const low = min === undefined ? `above ${above}` : `of ${min} or more`;
  if (max !== undefined) {
    return min === undefined ? `${low} and at most ${max}` : `from ${min} to ${max}`;
  }
  return below === undefined ? low : `${low} and below ${below}`;
}
