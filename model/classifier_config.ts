/** What a classifier of texts is made of: read from `config.json`, checked once, written back. */

import { type Gpt2Config, parseGpt2Config, toHuggingFaceConfig } from "./config.ts";
import { ConfigReader, sortedKeys } from "./config_json.ts";
import {
  type DistilBertConfig,
  distilBertConfigKeys,
  parseDistilBertConfig,
} from "./distilbert_config.ts";

/** The architecture of a classifier. */
export interface SequenceClassifierConfig {
  /** What the head stands on. */
  readonly trunk: DistilBertConfig | Gpt2Config;
  /** The name of each output; a single one makes the model a scorer of texts. */
  readonly labels: readonly string[];
}

/** Classes of transformers by `model_type`: the classifier first, then those whose trunk it can start from. */
const CLASSES = {
  distilbert: ["DistilBertForSequenceClassification", "DistilBertForMaskedLM", "DistilBertModel"],
  gpt2: ["GPT2ForSequenceClassification", "GPT2LMHeadModel", "GPT2Model"],
} as const;

/** Keys of `config.json` that belong to a head, and not to the trunk. */
const HEAD_KEYS = ["id2label", "label2id", "num_labels", "problem_type"];

/** transformers takes two labels where the file is silent. */
const DEFAULT_LABEL_COUNT = 2;

/** No classifier has as many; each takes memory before there is anything to compare their number with. */
const MOST_LABELS = 2 ** 16;

/**
 * Reads the configuration of a classifier as transformers writes it; its labels come from `id2label`.
 *
 * @param json What `config.json` holds.
 * @param source Its path, for error messages.
 * @param labels Labels of a new head; the model may then be one without a head, and the labels that the file
 *   names are not read.
 * @throws {ModelConfigError} If it is no classifier, of another architecture, asks for something that is not
 *   implemented, or a value is missing or impossible.
 * @throws {RangeError} If `labels` are none, or two are equal.
 */
export function parseSequenceClassifierConfig(
  json: unknown,
  source: string,
  labels?: readonly string[],
): SequenceClassifierConfig {
  const read = new ConfigReader(json, source);
  const type = read.json.model_type;
  if (type !== "distilbert" && type !== "gpt2") {
    throw read.error("model_type", '"distilbert" or "gpt2"; no other architecture can classify');
  }
  const names = labels === undefined ? CLASSES[type].slice(0, 1) : CLASSES[type];
  const parse = type === "gpt2" ? parseGpt2Config : parseDistilBertConfig;
  if (labels !== undefined && (labels.length === 0 || new Set(labels).size < labels.length)) {
    throw new RangeError(
      `Cannot make a classifier for the labels [${labels}]: give one or more, all different`,
    );
  }
  const trunk = parse(json, source, names);
  if (labels !== undefined) return { trunk, labels };
  const stored = readLabels(read);
  checkProblemType(read, stored);
  return { trunk, labels: stored };
}

/** Whether the weights that a `config.json` describes have a head, and one for these labels. */
export function hasHeadFor(json: unknown, source: string, labels: readonly string[]): boolean {
  const read = new ConfigReader(json, source);
  const classifiers: string[] = Object.values(CLASSES).map(([classifier]) => classifier);
  const { architectures } = read.json;
  return Array.isArray(architectures) && architectures.some((name) => classifiers.includes(name)) &&
    JSON.stringify(readLabels(read)) === JSON.stringify(labels);
}

/**
 * The content of `config.json` as transformers writes it, keys sorted.
 *
 * @param options.original The `config.json` that the trunk was loaded with, parsed; its other keys are kept.
 * @param options.padTokenId What fills rows up where the trunk does not say: transformers' GPT-2 takes no batches
 *   without, and looks for the last token that is another.
 */
export function toHuggingFaceClassifierConfig(
  { trunk, labels }: SequenceClassifierConfig,
  { original = {}, padTokenId }: { original?: unknown; padTokenId: number },
): Record<string, unknown> {
  const kept = { ...original as Record<string, unknown> };
  const { problem_type } = kept;
  for (const key of [...HEAD_KEYS, "torch_dtype"]) delete kept[key];
  return sortedKeys({
    ...(trunk.modelType === "gpt2"
      ? { ...toHuggingFaceConfig(trunk, kept), pad_token_id: kept.pad_token_id ?? padTokenId }
      : { ...kept, ...distilBertConfigKeys(trunk) }),
    architectures: [CLASSES[trunk.modelType][0]],
    dtype: "float32",
    id2label: Object.fromEntries(labels.map((label, id) => [id, label])),
    label2id: Object.fromEntries(labels.map((label, id) => [label, id])),
    ...(problem_type !== undefined && { problem_type }),
  });
}

/** The same `config.json` without what it says of a head. */
export function withoutHead(json: unknown): Record<string, unknown> {
  const entries = Object.entries(json as Record<string, unknown>);
  return Object.fromEntries(entries.filter(([key]) => !HEAD_KEYS.includes(key)));
}

function readLabels(read: ConfigReader): string[] {
  const { id2label, num_labels } = read.json;
  const count = num_labels === undefined ? undefined : read.positiveInteger("num_labels");
  if (count !== undefined && count > MOST_LABELS) {
    throw read.error("num_labels", `at most ${MOST_LABELS}; correct it`);
  }
  const labels = id2label === undefined
    ? Array.from({ length: count ?? DEFAULT_LABEL_COUNT }, (_, id) => `LABEL_${id}`)
    : namedLabels(read, id2label);
  if (count !== undefined && count !== labels.length) {
    throw read.error(
      "num_labels",
      `${labels.length}, as many as id2label has; correct one of them`,
    );
  }
  return labels;
}

function namedLabels(read: ConfigReader, id2label: unknown): string[] {
  const names = new Map(Object.entries(id2label as Record<string, unknown> ?? {}));
  const labels = Array.from(names.keys(), (_, id) => names.get(`${id}`));
  const unique = new Set(labels).size === labels.length;
  if (labels.length === 0 || !unique || !labels.every((label) => typeof label === "string")) {
    throw read.error("id2label", 'a different name for each of "0", "1" and so on; correct it');
  }
  return labels as string[];
}

/** transformers computes other probabilities, or none, for other problems. */
function checkProblemType(read: ConfigReader, labels: readonly string[]): void {
  const problem = read.json.problem_type ?? null;
  if (problem === null) return;
  const fitting = labels.length === 1 ? "regression" : "single_label_classification";
  if (problem !== fitting) {
    const count = labels.length === 1 ? "one label" : `${labels.length} labels`;
    throw read.error("problem_type", `"${fitting}", or null, with ${count}; no other is supported`);
  }
}
