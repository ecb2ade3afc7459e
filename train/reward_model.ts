import { join } from "node:path";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { parseSequenceClassifierConfig } from "../model/classifier_config.ts";
import type { SequenceClassifier } from "../model/sequence_classifier.ts";
import {
  initSequenceClassifier,
  loadSequenceClassifier,
} from "../model/sequence_classifier_weights.ts";
import { readTokenizer } from "../model/tokenizer.ts";
import { holdsAdapters, readModelConfig } from "../weights/folder.ts";
import { ConfigError } from "./config.ts";
import { Rng } from "./rng.ts";

/** The label of a model that scores, as transformers names it. */
const SCORE = "LABEL_0";

/** What the model of a reward is to be. */
export interface RewardModelOptions {
  kind: "labels" | "pairs";
  /** The labels of a new head; those of the model by default. */
  labels?: readonly string[];
  /** Of random parameters. */
  seed: number;
}

/**
 * Opens the model that a reward is trained from: `FOLDER`, with its own head where that fits and else a new one,
 * or `init:FOLDER`, of which only the configuration and the tokenizer are read.
 *
 * @throws {ConfigError} If the model and the data do not go together, or the folder holds adapters.
 */
export async function openRewardModel(
  gpu: Gpu,
  source: string,
  { kind, labels: given, seed }: RewardModelOptions,
): Promise<SequenceClassifier> {
  const isNew = source.startsWith("init:");
  const folder = isNew ? source.slice("init:".length) : source;
  if (await holdsAdapters(folder)) {
    throw new ConfigError(
      `Cannot train ${folder} as a reward: it holds adapters; ` +
        "make a whole model of them with deno task export, and name that",
    );
  }
  const json = await readModelConfig(folder) as HeadJson;
  const labels = given ?? (kind === "pairs" ? [scoreLabel(json)] : undefined);
  if (labels === undefined && !isClassifier(json)) {
    throw new ConfigError(
      `Cannot train ${folder} on labels: it is no classifier yet; ` +
        "name the labels 0, 1 and so on with --labels",
    );
  }
  const rng = new Rng(seed, "init");
  const normal = () => rng.normal();
  const model = isNew
    ? initSequenceClassifier(gpu, {
      config: parseSequenceClassifierConfig(json, join(folder, "config.json"), labels),
      tokenizer: await readTokenizer(folder),
      normal,
    })
    : await loadSequenceClassifier(gpu, folder, { train: true, ...(labels && { labels }), normal });
  if ((model.labels.length === 1) === (kind === "pairs")) return model;
  model[Symbol.dispose]();
  throw new ConfigError(
    `Cannot train on ${kind} with the labels ${model.labels.join(", ")}: ` +
      (kind === "pairs" ? "a score has one" : "there is nothing to tell apart") +
      "; name others with --labels",
  );
}

/** What `config.json` says of a head, as far as it is read here. */
interface HeadJson {
  architectures?: readonly string[];
  id2label?: Readonly<Record<string, string>>;
}

function isClassifier({ architectures }: HeadJson): boolean {
  return !architectures || architectures.some((name) => name.endsWith("ForSequenceClassification"));
}

/** The only label of a model that scores already, else the usual name. */
function scoreLabel({ id2label = {} }: HeadJson): string {
  const own = Object.values(id2label);
  return own.length === 1 ? own[0] : SCORE;
}
