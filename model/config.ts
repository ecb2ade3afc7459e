/** What a GPT-2 is made of: read from `config.json`, checked once, written back. */

import { ConfigReader, sortedKeys } from "./config_json.ts";

/** How the MLP's activation is computed: by tanh, as GPT-2's own, or by the error function. */
export type Gpt2Activation = "gelu_new" | "gelu";

/** The sizes and switches that all architectures built like GPT-2 have. */
export interface TrunkConfig {
  /** V, the number of tokens. */
  readonly vocabSize: number;
  /** The longest sequence, in tokens. */
  readonly nPositions: number;
  /** C, the width of the residual stream. */
  readonly nEmbd: number;
  /** L, the number of blocks. */
  readonly nLayer: number;
  /** NH, the number of attention heads; divides `nEmbd`. */
  readonly nHead: number;
  /** Width of the MLP's hidden layer. */
  readonly nInner: number;
  /** Added to the variance in layer norms. */
  readonly layerNormEpsilon: number;
  /** Of the feed-forward layers. */
  readonly activation: Gpt2Activation;
  /** Whether the head's weight is the token embedding. */
  readonly tieWordEmbeddings: boolean;
  /** The token that starts a text, or null where there is none. */
  readonly bosTokenId: number | null;
  /** The token that ends a text, or null where there is none. */
  readonly eosTokenId: number | null;
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number;
}

/** The architecture of a GPT-2. */
export interface Gpt2Config extends TrunkConfig {
  /** The architecture. */
  readonly modelType: "gpt2";
}

/** Classes of transformers whose files hold a GPT-2 language model; the second has no own head. */
const LANGUAGE_MODELS = ["GPT2LMHeadModel", "GPT2Model"];

/** Switches of transformers' GPT2Config that change the result, with the one value that is supported. */
const FIXED_OPTIONS = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  add_cross_attention: false,
} as const;

/** Both ids in transformers' GPT2Config, where the file is silent. */
const DEFAULT_TOKEN_ID = 50256;

/**
 * Reads the configuration of a GPT-2 as transformers writes it.
 *
 * The five sizes must be there; what else is missing takes the default of transformers' GPT2Config.
 * Dropout is not read, since nothing here drops out. `reorder_and_upcast_attn` is not either: it
 * guards half precision, and all is 32-bit here.
 *
 * @param json What `config.json` holds.
 * @param source Its path, for error messages.
 * @param names The classes of transformers that are accepted; those of language models by default.
 * @throws {ModelConfigError} If it is of another architecture, asks for something that is not
 * implemented, or a value is missing or impossible.
 */
export function parseGpt2Config(
  json: unknown,
  source: string,
  names: readonly string[] = LANGUAGE_MODELS,
): Gpt2Config {
  const read = new ConfigReader(json, source);
  read.architecture({ type: "gpt2", names });
  read.fixed(FIXED_OPTIONS);

  const vocabSize = read.positiveInteger("vocab_size");
  const nEmbd = read.positiveInteger("n_embd");
  const nHead = read.positiveInteger("n_head");
  if (nEmbd % nHead !== 0) {
    throw read.error("n_embd", `a multiple of n_head (${nHead}); correct one of them`);
  }
  return {
    modelType: "gpt2",
    vocabSize,
    nPositions: read.positiveInteger("n_positions"),
    nEmbd,
    nLayer: read.layers("n_layer"),
    nHead,
    nInner: read.positiveInteger("n_inner", 4 * nEmbd),
    layerNormEpsilon: read.positiveNumber("layer_norm_epsilon", 1e-5),
    activation: readActivation(read),
    tieWordEmbeddings: read.boolean("tie_word_embeddings", true),
    bosTokenId: read.tokenId("bos_token_id", vocabSize, DEFAULT_TOKEN_ID),
    eosTokenId: read.tokenId("eos_token_id", vocabSize, DEFAULT_TOKEN_ID),
    initializerRange: read.positiveNumber("initializer_range", 0.02),
  };
}

/**
 * The content of `config.json` as transformers writes it, keys sorted.
 *
 * @param original The `config.json` that the model was loaded with, parsed; its other keys are kept.
 */
export function toHuggingFaceConfig(
  config: Gpt2Config,
  original: unknown = {},
): Record<string, unknown> {
  const { torch_dtype: _replacedByDtype, ...kept } = original as Record<string, unknown>;
  return sortedKeys({
    ...FIXED_OPTIONS,
    attn_pdrop: 0.1,
    embd_pdrop: 0.1,
    resid_pdrop: 0.1,
    ...kept,
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    dtype: "float32",
    vocab_size: config.vocabSize,
    n_positions: config.nPositions,
    n_embd: config.nEmbd,
    n_layer: config.nLayer,
    n_head: config.nHead,
    n_inner: config.nInner === 4 * config.nEmbd ? null : config.nInner,
    layer_norm_epsilon: config.layerNormEpsilon,
    activation_function: config.activation,
    tie_word_embeddings: config.tieWordEmbeddings,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    initializer_range: config.initializerRange,
  });
}

/** The activation of the MLP, as `config.json` names it. */
export function readActivation(read: ConfigReader): Gpt2Activation {
  const activation = read.json.activation_function ?? "gelu_new";
  if (activation === "gelu_new" || activation === "gelu") return activation;
  throw read.error("activation_function", '"gelu_new" or "gelu"; no other is supported');
}
