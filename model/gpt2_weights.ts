import { join, resolve } from "node:path";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { type ModelFolder, openModelFolder } from "../weights/folder.ts";
import { resolveModelFolder } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { findBase, mergeAdapters } from "./adapter_folder.ts";
import { CausalLM, causalLMParameters } from "./causal_lm.ts";
import {
  type CausalLMConfig,
  parseCausalLMConfig,
  toHuggingFaceCausalLMConfig,
} from "./causal_lm_config.ts";
import { initialiseParameters } from "./initialise.ts";
import { initialiseAdapters, type LoraOptions } from "./lora.ts";
import { type SaveOptions, writeModelFolder } from "./save.ts";
import { type CheckpointNames, expectParameters, readParameters, storedTensors } from "./stored.ts";
import { expectVocabulary, readTokenizer, type TextCodec } from "./tokenizer.ts";

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
export const CAUSAL_LM_NAMES: CheckpointNames = {
  prefix: "transformer.",
  heads: /^(v_head|lm_head)\./,
  wrapper: "pretrained_model.",
};

/** Tensors of old checkpoints that are no parameters: the causal mask and its fill value. */
const MASK_BUFFER = /\.attn(\.attention)?\.(bias|masked_bias)$/;

/** How to load a model. */
export interface LoadOptions {
  /** Allocate gradients, so that the model can be trained (default false). */
  train?: boolean;
  /** Add a value head: the folder's own where it has one, else zeros (default false). */
  valueHead?: boolean;
  /** Train adapters, and the value head, in place of the parameters; `uniform` gives numbers from 0 to 1 to start them. */
  lora?: LoraOptions & { uniform: () => number };
  /** Take the spelling of special tokens in texts for the tokens, as chat prompts need (default false). */
  specialTokens?: boolean;
  /** Train neither the first blocks, as many as this says, nor the embeddings (default 0: train all). */
  frozenBlocks?: number;
  /** How the model is known: a name on the Hub, perhaps with a revision (default: the folder). */
  name?: string;
  /** How the model that a folder of adapters names is found, if it is on the Hub. */
  hub?: HubOptions;
}

/**
 * Loads a GPT-2 or a GPT-Neo from a Hugging Face folder: config.json, weights in
 * one safetensors file or in several with an index (F32, F16 or BF16), tokenizer.json.
 *
 * Of a folder of adapters, as PEFT writes them, the model is loaded that they belong to, and they are merged into it.
 *
 * @throws {ModelFolderError} If a file or a tensor is missing, has the wrong shape, or is not known.
 * @throws {SafetensorsError} If the weights break the format.
 * @throws {ModelConfigError} If the architecture or an option of it is not implemented.
 * @throws {TokenizerError} If the tokenizer is missing or broken.
 * @throws {RangeError} If more blocks are to be frozen than there are.
 */
export async function loadCausalLM(
  gpu: Gpu,
  path: string,
  options: LoadOptions = {},
): Promise<CausalLM> {
  const { base, adapters } = await findBase(
    path,
    (name, { local }) => resolveModelFolder(name, { ...options.hub, local }),
  );
  if (adapters.length > 0) options.hub?.say?.(`${path} holds adapters; they go on top of ${base}`);
  const model = await loadWhole(gpu, base, { name: resolve(path), ...options });
  try {
    for (const folder of adapters) await mergeAdapters(model, folder);
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
  return model;
}

async function loadWhole(
  gpu: Gpu,
  path: string,
  { train, valueHead, lora, frozenBlocks, specialTokens, name }: LoadOptions & { name: string },
): Promise<CausalLM> {
  using folder = await openModelFolder(path);
  const config = parseCausalLMConfig(folder.config, join(path, "config.json"));
  const tokenizer = await readTokenizer(path, { specialTokens });
  expectVocabulary(tokenizer, config, path);
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
export async function readCausalLM(model: CausalLM, path: string): Promise<void> {
  using folder = await openModelFolder(path);
  await readWeights(model, folder);
}

async function readWeights(
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

/**
 * A model with random parameters, as `transformers` initialises it: normal with `initializerRange`, biases zero,
 * layer norms one; in a GPT-2, the projections onto the residual stream smaller by the square root of 2L.
 *
 * @param normal Standard normal numbers.
 */
export function initCausalLM(
  gpu: Gpu,
  { config, tokenizer, normal }: {
    config: CausalLMConfig;
    tokenizer: TextCodec;
    normal: () => number;
  },
): CausalLM {
  const model = new CausalLM(gpu, { config, tokenizer, train: true });
  initialiseParameters(gpu, { values: model.values, config, normal });
  return model;
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
