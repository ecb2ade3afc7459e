/**
 * The trunk of DistilBERT (Sanh et al. 2019, arXiv:1910.01108), forward and backward: every token attends to
 * every other, and each layer norm comes after its sum.
 */

import type { Tensor } from "../kernels/runtime/mod.ts";
import type { DistilBertConfig } from "./distilbert_config.ts";
import { embed, embedBackward, type EmbeddingTables } from "./embeddings.ts";
import { type LayerContext, norm, normBackward, type Slots, slotsOf } from "./layers.ts";
import { linearParameters, type ParameterSpec } from "./params.ts";
import {
  attendWithin,
  attentionLayer,
  attentionLayerBackward,
  type AttentionNames,
  mlp,
  mlpBackward,
  type MlpNames,
} from "./sublayers.ts";
import type { TokenBatch } from "./token_batch.ts";

/** Added to the variance in layer norms; not in the configuration. */
const EPSILON = 1e-12;

const TABLES: EmbeddingTables = {
  tokens: "embeddings.word_embeddings",
  positions: "embeddings.position_embeddings",
};

const EMBEDDING_NORM = "embeddings.LayerNorm";

/** The parameters of DistilBERT's trunk; queries, keys and values are one matrix here, three in a checkpoint. */
export function distilbertParameters(config: DistilBertConfig): ParameterSpec[] {
  const { vocabSize: V, nPositions: P, dim: C, hiddenDim: F, nLayers: L } = config;
  const normOf = (name: string): ParameterSpec[] => [
    { name: `${name}.weight`, shape: [C] },
    { name: `${name}.bias`, shape: [C] },
  ];
  const layer = (l: number): ParameterSpec[] => {
    const { qkv, proj } = attentionNames(l);
    const { fc, proj: fcproj } = mlpNames(l);
    const parts = ["q", "k", "v"].map((part) => `${layerName(l)}.attention.${part}_lin`);
    return [
      ...linearParameters(qkv, { inputs: C, outputs: 3 * C, parts }),
      ...linearParameters(proj, { inputs: C, outputs: C }),
      ...normOf(attentionNorm(l)),
      ...linearParameters(fc, { inputs: C, outputs: F }),
      ...linearParameters(fcproj, { inputs: F, outputs: C }),
      ...normOf(outputNorm(l)),
    ];
  };
  return [
    { name: `${TABLES.tokens}.weight`, shape: [V, C] },
    { name: `${TABLES.positions}.weight`, shape: [P, C] },
    ...normOf(EMBEDDING_NORM),
    ...Array.from({ length: L }, (_, l) => layer(l)).flat(),
  ];
}

/**
 * Token ids to the hidden states after the last block, (N, C).
 *
 * With `train` every layer keeps its activations in `context.arena` for {@linkcode distilbertBackward};
 * without, the layers share them.
 */
export function distilbertForward(
  context: LayerContext,
  config: DistilBertConfig,
  batch: TokenBatch,
  { train = false }: { train?: boolean } = {},
): Tensor {
  const { arena } = context;
  let hidden = norm(context, slotsOf(arena, ""), {
    name: EMBEDDING_NORM,
    x: embed(context, TABLES, batch),
    out: "normed",
    epsilon: EPSILON,
  });
  for (let l = 0; l < config.nLayers; l++) {
    const slots = slotsOf(arena, train ? `layer${l}.` : "layer.");
    hidden = block(context, config, l, slots, batch, hidden);
  }
  return hidden;
}

/**
 * Backward of {@linkcode distilbertForward} with `train`: adds to every gradient of the trunk. Overwrites
 * `dhidden`.
 *
 * @param dhidden (N, C) gradient with respect to the hidden states.
 */
export function distilbertBackward(
  context: LayerContext,
  config: DistilBertConfig,
  batch: TokenBatch,
  dhidden: Tensor,
): void {
  const { arena } = context;
  const { shape } = dhidden;
  const inputOf = (l: number) => arena.take(l === 0 ? "normed" : `layer${l - 1}.output`, shape);
  for (let l = config.nLayers - 1; l >= 0; l--) {
    blockBackward(context, config, l, batch, inputOf(l), dhidden);
  }
  const dembedded = arena.take("dsum", shape);
  context.pass.clear(dembedded);
  normBackward(context, slotsOf(arena, ""), {
    name: EMBEDDING_NORM,
    x: arena.take("embedded", shape),
    out: "normed",
    dout: dhidden,
    dx: dembedded,
  });
  embedBackward(context, TABLES, batch, dembedded);
}

/** `LN(m + mlp(m))` of `m = LN(x + attention(x))`: (N, C) to (N, C). */
function block(
  context: LayerContext,
  { nHeads: heads, activation }: DistilBertConfig,
  l: number,
  slots: Slots,
  batch: TokenBatch,
  x: Tensor,
): Tensor {
  const attended = attentionLayer(context, slots, attentionNames(l), {
    x,
    residual: x,
    out: "attended",
    attend: (qkv) => attendWithin(context, slots, batch, qkv, { heads, causal: false }),
  });
  const middle = norm(context, slots, {
    name: attentionNorm(l),
    x: attended,
    out: "middle",
    epsilon: EPSILON,
  });
  const tensors = { x: middle, residual: middle, out: "sum" };
  const sum = mlp(context, slots, mlpNames(l), tensors, { activation });
  return norm(context, slots, { name: outputNorm(l), x: sum, out: "output", epsilon: EPSILON });
}

/** Backward of `block`: `dhidden` (N, C) comes in as the gradient of its output, leaves as of its input. */
function blockBackward(
  context: LayerContext,
  { nHeads: heads, activation }: DistilBertConfig,
  l: number,
  batch: TokenBatch,
  x: Tensor,
  dhidden: Tensor,
): void {
  const { pass, arena } = context;
  const { shape } = x; // (N, C)
  const slots = slotsOf(arena, `layer${l}.`);
  const dsum = arena.take("dsum", shape);

  pass.clear(dsum);
  normBackward(context, slots, {
    name: outputNorm(l),
    x: slots("sum", shape),
    out: "output",
    dout: dhidden,
    dx: dsum,
  });
  mlpBackward(
    context,
    slots,
    mlpNames(l),
    { x: slots("middle", shape), dout: dsum, dx: dsum },
    { activation, accumulate: true },
  );
  pass.clear(dhidden);
  normBackward(context, slots, {
    name: attentionNorm(l),
    x: slots("attended", shape),
    out: "middle",
    dout: dsum,
    dx: dhidden,
  });
  attentionLayerBackward(
    context,
    slots,
    attentionNames(l),
    { x, dout: dhidden, dx: dhidden, batch },
    { heads, causal: false, accumulate: true },
  );
}

function attentionNames(l: number): AttentionNames {
  const name = `${layerName(l)}.attention`;
  return { qkv: `${name}.qkv_lin`, proj: `${name}.out_lin` };
}

function mlpNames(l: number): MlpNames {
  return { fc: `${layerName(l)}.ffn.lin1`, proj: `${layerName(l)}.ffn.lin2` };
}

function attentionNorm(l: number): string {
  return `${layerName(l)}.sa_layer_norm`;
}

function outputNorm(l: number): string {
  return `${layerName(l)}.output_layer_norm`;
}

function layerName(l: number): string {
  return `transformer.layer.${l}`;
}
