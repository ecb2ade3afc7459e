/** What a DistilBERT is made of: read from `config.json`, checked once, written back. */

import type { GeluKind } from "../kernels/gelu.ts";
import { ConfigReader } from "./config_json.ts";

/** The architecture of a DistilBERT. */
export interface DistilBertConfig {
  /** The architecture. */
  readonly modelType: "distilbert";
  /** V, the number of tokens. */
  readonly vocabSize: number;
  /** The longest sequence, in tokens. */
  readonly nPositions: number;
  /** C, the width of the residual stream. */
  readonly dim: number;
  /** L, the number of blocks. */
  readonly nLayers: number;
  /** NH, the number of attention heads; divides `dim`. */
  readonly nHeads: number;
  /** F, the width of the MLP's hidden layer. */
  readonly hiddenDim: number;
  /** Of the feed-forward layers: exact, or the approximation by tanh. */
  readonly activation: GeluKind;
  /** The token that fills rows up; it is never attended to. */
  readonly padTokenId: number;
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number;
}

/** transformers' default; the other sizes differ too much between models for one. */
const MAX_POSITIONS = 512;

/**
 * Reads the configuration of a DistilBERT as transformers writes it.
 *
 * The five sizes must be there; what else is missing takes the default of transformers' DistilBertConfig.
 * Dropout is not read, since nothing here drops out, and neither is `sinusoidal_pos_embds`: the positions'
 * table is a parameter of the checkpoint, whatever it was filled with at first.
 *
 * @param json What `config.json` holds.
 * @param source Its path, for error messages.
 * @param names The classes of transformers that are accepted.
 * @throws {ModelConfigError} If it is of another architecture, asks for something that is not
 * implemented, or a value is missing or impossible.
 */
export function parseDistilBertConfig(
  json: unknown,
  source: string,
  names: readonly string[],
): DistilBertConfig {
  const read = new ConfigReader(json, source);
  read.architecture({ type: "distilbert", names });
  const vocabSize = read.positiveInteger("vocab_size");
  const dim = read.positiveInteger("dim");
  const nHeads = read.positiveInteger("n_heads");
  if (dim % nHeads !== 0) {
    throw read.error("dim", `a multiple of n_heads (${nHeads}); correct one of them`);
  }
  const activation = read.json.activation ?? "gelu";
  if (activation !== "gelu" && activation !== "gelu_new") {
    throw read.error("activation", '"gelu" or "gelu_new"; no other is supported');
  }
  return {
    modelType: "distilbert",
    vocabSize,
    nPositions: read.positiveInteger("max_position_embeddings", MAX_POSITIONS),
    dim,
    nLayers: read.layers("n_layers"),
    nHeads,
    hiddenDim: read.positiveInteger("hidden_dim"),
    activation,
    padTokenId: read.tokenId("pad_token_id", vocabSize, 0) ?? 0,
    initializerRange: read.positiveNumber("initializer_range", 0.02),
  };
}

/** The keys of `config.json` that {@linkcode parseDistilBertConfig} reads, as transformers names them. */
export function distilBertConfigKeys(config: DistilBertConfig): Record<string, unknown> {
  return {
    model_type: config.modelType,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.nPositions,
    dim: config.dim,
    n_layers: config.nLayers,
    n_heads: config.nHeads,
    hidden_dim: config.hiddenDim,
    activation: config.activation,
    pad_token_id: config.padTokenId,
    initializer_range: config.initializerRange,
  };
}
