/** What a GPT-Neo is made of: read from `config.json`, checked once, written back. */

import { readActivation, type TrunkConfig } from "./config.ts";
import { ConfigReader, sortedKeys } from "./config_json.ts";

/** How a layer attends: `global` to all tokens before, `local` to a window of them. */
export type GptNeoAttention = "global" | "local";

/** The architecture of a GPT-Neo: a GPT-2 whose attention is not scaled and, in some layers, has a window. */
export interface GptNeoConfig extends TrunkConfig {
  /** The architecture. */
  readonly modelType: "gpt_neo";
  /** How each of the L layers attends. */
  readonly attentionLayers: readonly GptNeoAttention[];
  /** How many tokens a local layer attends to, the token itself included. */
  readonly windowSize: number;
}

/** Classes of transformers whose files hold a GPT-Neo language model; the second has no own head. */
const LANGUAGE_MODELS = ["GPTNeoForCausalLM", "GPTNeoModel"];

/** Both ids in transformers' GPTNeoConfig, where the file is silent. */
const DEFAULT_TOKEN_ID = 50256;

/**
 * Reads the configuration of a GPT-Neo as transformers writes it.
 *
 * The five sizes must be there; what else is missing takes the default of transformers' GPTNeoConfig. As there,
 * `attention_layers` comes before `attention_types`, and `intermediate_size` null is four times the width.
 * Dropout is not read, since nothing here drops out.
 *
 * @param json What `config.json` holds.
 * @param source Its path, for error messages.
 * @throws {ModelConfigError} If it is of another architecture, asks for something that is not
 * implemented, or a value is missing or impossible.
 */
export function parseGptNeoConfig(json: unknown, source: string): GptNeoConfig {
  const read = new ConfigReader(json, source);
  read.architecture({ type: "gpt_neo", names: LANGUAGE_MODELS });

  const vocabSize = read.positiveInteger("vocab_size");
  const nEmbd = read.positiveInteger("hidden_size");
  const nHead = read.positiveInteger("num_heads");
  if (nEmbd % nHead !== 0) {
    throw read.error("hidden_size", `a multiple of num_heads (${nHead}); correct one of them`);
  }
  const nLayer = read.layers("num_layers");
  return {
    modelType: "gpt_neo",
    vocabSize,
    nPositions: read.positiveInteger("max_position_embeddings"),
    nEmbd,
    nLayer,
    nHead,
    nInner: read.positiveInteger("intermediate_size", 4 * nEmbd),
    layerNormEpsilon: read.positiveNumber("layer_norm_epsilon", 1e-5),
    activation: readActivation(read),
    tieWordEmbeddings: read.boolean("tie_word_embeddings", true),
    bosTokenId: read.tokenId("bos_token_id", vocabSize, DEFAULT_TOKEN_ID),
    eosTokenId: read.tokenId("eos_token_id", vocabSize, DEFAULT_TOKEN_ID),
    initializerRange: read.positiveNumber("initializer_range", 0.02),
    attentionLayers: readAttention(read, nLayer),
    windowSize: read.positiveInteger("window_size", 256),
  };
}

/**
 * The content of `config.json` as transformers writes it, keys sorted.
 *
 * @param original The `config.json` that the model was loaded with, parsed; its other keys are kept.
 */
export function toHuggingFaceGptNeoConfig(
  config: GptNeoConfig,
  original: unknown = {},
): Record<string, unknown> {
  const { torch_dtype: _replacedByDtype, ...kept } = original as Record<string, unknown>;
  return sortedKeys({
    attention_dropout: 0,
    embed_dropout: 0,
    resid_dropout: 0,
    attention_types: [[config.attentionLayers, 1]],
    ...kept,
    architectures: ["GPTNeoForCausalLM"],
    model_type: "gpt_neo",
    dtype: "float32",
    vocab_size: config.vocabSize,
    max_position_embeddings: config.nPositions,
    hidden_size: config.nEmbd,
    num_layers: config.nLayer,
    num_heads: config.nHead,
    intermediate_size: config.nInner === 4 * config.nEmbd ? null : config.nInner,
    layer_norm_epsilon: config.layerNormEpsilon,
    activation_function: config.activation,
    tie_word_embeddings: config.tieWordEmbeddings,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    initializer_range: config.initializerRange,
    attention_layers: config.attentionLayers,
    window_size: config.windowSize,
  });
}

/** One of `global` and `local` for each layer, from the list of them or from lists that are repeated. */
function readAttention(read: ConfigReader, nLayer: number): GptNeoAttention[] {
  const { attention_layers: layers, attention_types: types = [[["global", "local"], 12]] } =
    read.json;
  const key = layers === undefined ? "attention_types" : "attention_layers";
  const listed = layers === undefined ? expandAttention(types, nLayer) : layers;
  if (Array.isArray(listed) && listed.length === nLayer && listed.every(isAttention)) return listed;
  const form = key === "attention_layers"
    ? "a list of"
    : "lists, each with a number of repeats, of";
  throw read.error(key, `${form} "global" and "local", num_layers (${nLayer}) in all; correct it`);
}

/** `[[["global", "local"], 2]]` as global, local, global, local; undefined if it is not like that. */
function expandAttention(types: unknown, nLayer: number): unknown[] | undefined {
  if (!Array.isArray(types)) return undefined;
  const expanded: unknown[] = [];
  for (const type of types) {
    const [layers, repeats] = Array.isArray(type) ? type : [];
    if (!Array.isArray(layers) || !Number.isSafeInteger(repeats)) return undefined;
    if (layers.length === 0) continue; // whatever the number of repeats
    if (expanded.length + layers.length * repeats > nLayer) return undefined; // before it takes memory
    for (let i = 0; i < repeats; i++) expanded.push(...layers);
  }
  return expanded;
}

function isAttention(value: unknown): value is GptNeoAttention {
  return value === "global" || value === "local";
}
