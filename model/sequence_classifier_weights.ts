import { join } from "node:path";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { openModelFolder } from "../weights/folder.ts";
import {
  hasHeadFor,
  parseSequenceClassifierConfig,
  type SequenceClassifierConfig,
  toHuggingFaceClassifierConfig,
  withoutHead,
} from "./classifier_config.ts";
import { initialiseParameters } from "./initialise.ts";
import type { ParameterSpec } from "./params.ts";
import { type SaveOptions, writeModelFolder } from "./save.ts";
import { classifierTrunk, SequenceClassifier } from "./sequence_classifier.ts";
import { type CheckpointNames, expectParameters, readParameters, storedTensors } from "./stored.ts";
import { expectVocabulary, readTokenizer, type TextCodec } from "./tokenizer.ts";

/** How to load a classifier. */
export interface ClassifierLoadOptions {
  /** Allocate gradients, so that the model can be trained (default false). */
  train?: boolean;
  /**
   * What the model shall tell apart; a single label for a score. The folder's own head is used where it is for
   * these labels; else a fresh one starts, which `SequenceClassifier.freshHead` says. The labels of the folder
   * by default.
   */
  labels?: readonly string[];
  /** Standard normal numbers for a fresh head. */
  normal?: () => number;
}

/** What is particular to the files of an architecture. */
const FILES = {
  distilbert: {
    kind: "a DistilBERT classifier",
    names: { prefix: "distilbert.", heads: /^(pre_)?classifier\./ },
    /** Heads of other kinds, and a table of 0, 1, 2 and so on that old checkpoints have. */
    heads: /^(pre_classifier|classifier|vocab_transform|vocab_layer_norm|vocab_projector)\./,
    buffers: /embeddings\.position_ids$/,
  },
  gpt2: {
    kind: "a GPT-2 classifier",
    names: { prefix: "transformer.", heads: /^score\./ },
    heads: /^(score|lm_head|v_head)\./,
    /** The causal mask and its fill value. */
    buffers: /\.attn\.(bias|masked_bias)$/,
  },
} as const satisfies Record<
  string,
  { kind: string; names: CheckpointNames; heads: RegExp; buffers: RegExp }
>;

/**
 * Loads a DistilBERT or GPT-2 that classifies or scores texts from a Hugging Face folder: config.json,
 * model.safetensors, tokenizer.json.
 *
 * With `labels` the folder may as well hold a masked or causal language model, or a trunk alone, to start
 * training from.
 *
 * @throws {ModelFolderError} If a file or a tensor is missing, has the wrong shape, or is not known.
 * @throws {SafetensorsError} If the weights break the format.
 * @throws {ModelConfigError} If the architecture or an option of it is not implemented, or it is no classifier
 *   and there are no `labels`.
 * @throws {TokenizerError} If the tokenizer is missing or broken.
 * @throws {TypeError} If a fresh head is needed and `normal` is missing.
 */
export async function loadSequenceClassifier(
  gpu: Gpu,
  path: string,
  { train = false, labels, normal = noNumbers }: ClassifierLoadOptions = {},
): Promise<SequenceClassifier> {
  using folder = await openModelFolder(path);
  const source = join(path, "config.json");
  const config = parseSequenceClassifierConfig(folder.config, source, labels);
  const freshHead = labels !== undefined && !hasHeadFor(folder.config, source, labels);
  const tokenizer = await readTokenizer(path);
  expectVocabulary(tokenizer, config.trunk, path);
  const { trunk } = config;
  expectParameters(folder, {
    layers: trunk.modelType === "gpt2" ? trunk.nLayer : trunk.nLayers,
    parameters: () => classifierTrunk(trunk),
    names: FILES[trunk.modelType].names,
  });
  const original = freshHead ? withoutHead(folder.config) : folder.config;
  const parts = { config, tokenizer, train, original, freshHead };
  const model = new SequenceClassifier(gpu, parts);
  try {
    const { names, heads, buffers, kind } = FILES[config.trunk.modelType];
    const specs = model.layout.specs;
    const isNew = ({ name }: ParameterSpec) => freshHead && names.heads.test(name);
    await readParameters(folder, {
      gpu,
      values: model.values,
      specs: specs.filter((spec) => !isNew(spec)),
      names,
      ignored: (name) => buffers.test(name) || (freshHead && heads.test(name)),
      kind,
    });
    if (freshHead) {
      const { values, config: { trunk } } = model;
      initialiseParameters(gpu, { values, specs: specs.filter(isNew), config: trunk, normal });
    }
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
  return model;
}

/**
 * A classifier with random parameters, as `transformers` initialises it: normal with `initializerRange`, biases
 * zero, layer norms one.
 *
 * @param normal Standard normal numbers.
 */
export function initSequenceClassifier(
  gpu: Gpu,
  { config, tokenizer, normal }: {
    config: SequenceClassifierConfig;
    tokenizer: TextCodec;
    normal: () => number;
  },
): SequenceClassifier {
  const model = new SequenceClassifier(gpu, { config, tokenizer, train: true, freshHead: true });
  initialiseParameters(gpu, { values: model.values, config: config.trunk, normal });
  return model;
}

/** Writes a folder that `transformers` loads; see `SequenceClassifier.savePretrained`. */
export async function saveSequenceClassifier(
  model: SequenceClassifier,
  path: string,
  options?: SaveOptions,
): Promise<void> {
  const { gpu, values, config, original, tokenizer } = model;
  const { names } = FILES[config.trunk.modelType];
  await writeModelFolder(path, {
    config: toHuggingFaceClassifierConfig(config, { original, padTokenId: tokenizer.eosId }),
    files: tokenizer.files,
    tensors: storedTensors({ gpu, values, names }),
  }, options);
}

function noNumbers(): never {
  throw new TypeError(
    "Cannot start a fresh head: there are no random numbers for it; give `normal`",
  );
}
