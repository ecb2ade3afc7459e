import { resolve } from "node:path";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { openModelFolder } from "../weights/folder.ts";
import { resolveModelFolder } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { findBase, mergeAdapters } from "./adapter_folder.ts";
import { CausalLM } from "./causal_lm.ts";
import type { CausalLMConfig } from "./causal_lm_config.ts";
import { openCausalLM, readWeights } from "./causal_lm_folder.ts";
import { initialiseParameters } from "./initialise.ts";
import type { LoraOptions } from "./lora.ts";
import { readTokenizer, type TextCodec } from "./tokenizer.ts";

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
 * ```ts
 * import { Gpu, loadCausalLM } from "@kl-guard/kl-guard";
 *
 * using gpu = await Gpu.open();
 * using model = await loadCausalLM(gpu, "weights/review-gpt2");
 * const { texts } = await model.generate(["The movie was"], { maxNewTokens: 12, greedy: true });
 * console.log(texts[0]);
 * ```
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
  using folder = await openModelFolder(base);
  const model = await openCausalLM(gpu, folder, () => readTokenizer(base, options), {
    name: resolve(path),
    ...options,
  });
  try {
    for (const folder of adapters) await mergeAdapters(model, folder);
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
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
