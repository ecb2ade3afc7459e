/** A causal language model out of an open folder, and into a new one; `gpt2_weights.ts` finds folders. */

import { join } from "node:path";
import type { Gpu } from "../kernels/runtime/mod.ts";
import type { ModelFolder } from "../weights/folder.ts";
import { CausalLM, causalLMParameters } from "./causal_lm.ts";
import {
  type CausalLMConfig,
  parseCausalLMConfig,
  toHuggingFaceCausalLMConfig,
} from "./causal_lm_config.ts";
import type { LoadOptions } from "./gpt2_weights.ts";
import { initialiseAdapters } from "./lora.ts";
import { type SaveOptions, writeModelFolder } from "./save.ts";
import { type CheckpointNames, expectParameters, readParameters, storedTensors } from "./stored.ts";
import { expectVocabulary, type TextCodec } from "./tokenizer.ts";

/** What is kept of a model's folder beside its numbers and its tokenizer. */
export interface CausalLMFiles {
  /** `config.json` as it was read. */
  config?: unknown;
  /** `generation_config.json` as it was read. */
  generationConfig?: Uint8Array<ArrayBuffer>;
  /** How the model is known: the folder, or a name on the Hub. */
  name?: string;
}

/**
 * Classes with a head put a prefix before the trunk's names; GPT-2's original checkpoint does not. A state of TRL's
 * class with a value head has one more, where it was saved without the class's own method.
 */
const CAUSAL_LM_NAMES: CheckpointNames = {
  prefix: "transformer.",
  heads: /^(v_head|lm_head)\./,
  wrapper: "pretrained_model.",
};

/** Tensors of old checkpoints that are no parameters: the causal mask and its fill value. */
const MASK_BUFFER = /\.attn(\.attention)?\.(bias|masked_bias)$/;

/** What a model is loaded as. */
export interface OpenOptions extends Omit<LoadOptions, "specialTokens" | "hub"> {
  /** How the model is known. */
  name: string;
}

/**
 * Makes a model of a folder's configuration and weights.
 *
 * @param readTokenizer Called where the configuration is one of a model that is known.
 * @throws {ModelFolderError} If a tensor is missing, has the wrong shape, or is not known.
 * @throws {SafetensorsError} If the weights break the format.
 * @throws {ModelConfigError} If the architecture or an option of it is not implemented.
 * @throws {RangeError} If more blocks are to be frozen than there are.
 */
export async function openCausalLM(
  gpu: Gpu,
  folder: ModelFolder,
  readTokenizer: () => TextCodec | Promise<TextCodec>,
  { train, valueHead, lora, frozenBlocks, name }: OpenOptions,
): Promise<CausalLM> {
  const config = parseCausalLMConfig(folder.config, join(folder.path, "config.json"));
  const tokenizer = await readTokenizer();
  expectVocabulary(tokenizer, config, folder.path);
  expectParameters(folder, {
    layers: config.nLayer,
    parameters: () => causalLMParameters(config),
    names: CAUSAL_LM_NAMES,
  });
  const generationConfig = folder.files.includes("generation_config.json")
    ? await folder.readFile("generation_config.json")
    : undefined;
  const files = { name, config: folder.config, ...(generationConfig && { generationConfig }) };
  const parts = { config, tokenizer, train, valueHead, lora, frozenBlocks, files };
  const model = new CausalLM(gpu, parts);
  try {
    await readWeights(model, folder);
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
  if (lora) initialiseAdapters(gpu, model.adapters!, { values: model.trained, ...lora });
  return model;
}

/**
 * Overwrites the parameters of a model with those of a folder; the value head only where the folder has one.
 *
 * @throws {ModelFolderError} If a tensor is missing, has the wrong shape, or is not known.
 * @throws {SafetensorsError} If the weights break the format.
 */
export async function readWeights(
  { gpu, config, parameters, hasValueHead }: CausalLM,
  folder: ModelFolder,
): Promise<void> {
  const storesValueHead = folder.tensors.has("v_head.summary.weight");
  await readParameters(folder, {
    gpu,
    values: parameters,
    // A new value head starts from zero.
    specs: parameters.layout.specs.filter(({ name }) =>
      storesValueHead || !name.startsWith("v_head.")
    ),
    names: CAUSAL_LM_NAMES,
    ignored: (name) =>
      MASK_BUFFER.test(name) || (name === "lm_head.weight" && config.tieWordEmbeddings) ||
      (name.startsWith("v_head.") && !hasValueHead),
    kind: config.modelType === "gpt2" ? "a GPT-2" : "a GPT-Neo",
  });
}

/** Writes a folder that `transformers` loads; see `CausalLM.savePretrained`. */
export async function saveCausalLM(
  model: CausalLM,
  path: string,
  options?: SaveOptions,
): Promise<void> {
  const { gpu, config, files: { config: original, generationConfig }, tokenizer } = model;
  const generation = generationConfig ??
    JSON.stringify(defaultGenerationConfig(config), null, 2) + "\n";
  await writeModelFolder(path, {
    config: toHuggingFaceCausalLMConfig(config, original),
    files: { "generation_config.json": generation, ...tokenizer.files },
    tensors: storedTensors({ gpu, values: model.merged, names: CAUSAL_LM_NAMES }),
  }, options);
}

function defaultGenerationConfig({ bosTokenId, eosTokenId }: CausalLMConfig) {
  return { _from_model_config: true, bos_token_id: bosTokenId, eos_token_id: eosTokenId };
}
