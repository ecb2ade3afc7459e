import type { AttentionOptions } from "../kernels/attention.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import { kvStore } from "../kernels/kv_store.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import type { CausalLMConfig } from "./causal_lm_config.ts";
import type { Gpt2Config, TrunkConfig } from "./config.ts";
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

/** The keys and values of tokens seen so far, for decoding one token at a time. */
export interface KvCache {
  /** Per layer (B, Tmax, 2C): keys, then values. */
  layers: readonly Tensor[];
  /** (B) the first column of each row that is a token. */
  first: Tensor<"u32">;
  /** (1) the column of the first token of this forward pass, of its longest row. */
  position: Tensor<"u32">;
}

/** GPT-2's parameters, named as in its checkpoints, which keep the weights of linear layers as Conv1D does: (in, out). */
export function gpt2Parameters(config: Gpt2Config): ParameterSpec[] {
  const { nEmbd: C, nInner: F } = config;
  const conv1d = (name: string, inputs: number, outputs: number) =>
    linearParameters(name, { inputs, outputs, conv1d: true });
  return trunkParameters(config, (l) => [
    { name: `h.${l}.ln_1.weight`, shape: [C] },
    { name: `h.${l}.ln_1.bias`, shape: [C] },
    ...conv1d(`h.${l}.attn.c_attn`, C, 3 * C),
    ...conv1d(`h.${l}.attn.c_proj`, C, C),
    { name: `h.${l}.ln_2.weight`, shape: [C] },
    { name: `h.${l}.ln_2.bias`, shape: [C] },
    ...conv1d(`h.${l}.mlp.c_fc`, C, F),
    ...conv1d(`h.${l}.mlp.c_proj`, F, C),
  ]);
}

/** The parameters of embeddings, blocks, last layer norm and head; `layer` gives those of block l. */
export function trunkParameters(
  config: TrunkConfig,
  layer: (l: number) => ParameterSpec[],
): ParameterSpec[] {
  const { vocabSize: V, nPositions: P, nEmbd: C, nLayer: L } = config;
  return [
    { name: "wte.weight", shape: [V, C] },
    { name: "wpe.weight", shape: [P, C] },
    ...Array.from({ length: L }, (_, l) => layer(l)).flat(),
    { name: "ln_f.weight", shape: [C] },
    { name: "ln_f.bias", shape: [C] },
    ...(config.tieWordEmbeddings ? [] : [{ name: "lm_head.weight", shape: [V, C] }]),
  ];
}

/** Whether a parameter lies in the embeddings or in the first `blocks` blocks; nothing does where these are 0. */
export function isBelow(name: string, blocks: number): boolean {
  const [, block] = /^h\.(\d+)\./.exec(name) ?? [];
  return block === undefined ? blocks > 0 && /^(wte|wpe)\./.test(name) : Number(block) < blocks;
}

/** How the trunk runs when it is trained. */
export interface TrunkOptions {
  /** The first blocks, and the embeddings, are not trained if this is above 0 (default 0). */
  frozenBlocks?: number | undefined;
}

/**
 * The trunk of GPT-2, or of GPT-Neo, whose attention differs: token ids to the hidden states after the last
 * layer norm, (N, C).
 *
 * With `train` every layer that is not frozen keeps its activations in `context.arena` for
 * {@linkcode gpt2Backward}; others share them. With a `cache`, the keys and values of the batch are stored in it.
 */
export function gpt2Forward(
  context: LayerContext,
  config: CausalLMConfig,
  batch: TokenBatch,
  { train = false, frozenBlocks = 0, cache }:
    & { train?: boolean; cache?: KvCache }
    & TrunkOptions = {},
): Tensor {
  const { pass, arena } = context;
  const { nLayer, layerNormEpsilon: epsilon } = config;

  let residual = embed(context, TABLES, batch); // (N, C)
  for (let l = 0; l < nLayer; l++) {
    const slots = slotsOf(arena, train && l >= frozenBlocks ? `h${l}.` : "h.");
    residual = block(context, config, l, slots, residual, (qkv) => {
      if (cache) {
        const { layers, position } = cache;
        kvStore(pass, { qkv, sequences: batch.sequences, cache: layers[l], position });
      }
      return attendWithin(context, slots, batch, qkv, attentionOptions(config, l));
    });
  }
  return norm(context, slotsOf(arena, ""), { name: "ln_f", x: residual, out: "hidden", epsilon });
}

/** One token for each of n rows, attending to `cache`, which takes its keys and values too: (n) to (n, C). */
export function gpt2Decode(
  context: LayerContext,
  config: CausalLMConfig,
  token: { ids: Tensor<"u32">; positions: Tensor<"u32">; rows: Tensor<"u32"> },
  cache: KvCache,
): Tensor {
  const { pass, arena } = context;
  const { ids, rows } = token;
  const { nEmbd: C, nLayer, layerNormEpsilon: epsilon } = config;
  const slots = slotsOf(arena, "decode.");

  let residual = embed(context, TABLES, token); // (n, C)
  for (let l = 0; l < nLayer; l++) {
    residual = block(context, config, l, slots, residual, (qkv) => {
      const { first, position } = cache;
      const out = slots("attention", [ids.size, C]);
      const tensors = { qkv, rows, cache: cache.layers[l], first, position, out };
      attentionDecode(pass, tensors, attentionOptions(config, l));
      return out;
    });
  }
  return norm(context, slots, { name: "ln_f", x: residual, out: "hidden", epsilon });
}

/**
 * Backward of {@linkcode gpt2Forward} with `train` and as many frozen blocks: adds to every gradient of the trunk
 * above these.
 *
 * @param dhidden (N, C) gradient with respect to the hidden states.
 */
export function gpt2Backward(
  context: LayerContext,
  config: CausalLMConfig,
  batch: TokenBatch,
  dhidden: Tensor,
  { frozenBlocks = 0 }: TrunkOptions = {},
): void {
  const { pass, arena } = context;
  const { N } = batch;
  const { nLayer, nEmbd: C } = config;
  const streamOf = (l: number) => {
    const slots = slotsOf(arena, l < frozenBlocks ? "h." : `h${l}.`);
    return l < 0 ? arena.take("embedded", [N, C]) : slots("residual", [N, C]);
  };

  const dresidual = arena.take("dresidual", [N, C]);
  pass.clear(dresidual);
  normBackward(context, slotsOf(arena, ""), {
    name: "ln_f",
    x: streamOf(nLayer - 1),
    out: "hidden",
    dout: dhidden,
    dx: dresidual,
  });
  for (let l = nLayer - 1; l >= frozenBlocks; l--) {
    blockBackward(context, config, l, batch, streamOf(l - 1), dresidual);
  }
  if (frozenBlocks === 0) embedBackward(context, TABLES, batch, dresidual);
}

/** How layer l attends. */
function attentionOptions(config: CausalLMConfig, l: number): AttentionOptions {
  const { nHead: heads } = config;
  if (config.modelType === "gpt2") return { heads };
  const window = config.attentionLayers[l] === "local" ? config.windowSize : 0;
  return { heads, scale: 1, window };
}

const TABLES: EmbeddingTables = { tokens: "wte", positions: "wpe" };

function attentionNames(l: number): AttentionNames {
  return { qkv: `h.${l}.attn.c_attn`, proj: `h.${l}.attn.c_proj` };
}

function mlpNames(l: number): MlpNames {
  return { fc: `h.${l}.mlp.c_fc`, proj: `h.${l}.mlp.c_proj` };
}

/** A transformer block: attention and MLP, each behind a layer norm and added to the residual stream. */
function block(
  context: LayerContext,
  { layerNormEpsilon: epsilon, activation }: TrunkConfig,
  l: number,
  slots: Slots,
  residual: Tensor,
  attend: (qkv: Tensor) => Tensor,
): Tensor {
  const ln1 = norm(context, slots, { name: `h.${l}.ln_1`, x: residual, out: "ln1", epsilon });
  const middle = attentionLayer(context, slots, attentionNames(l), {
    x: ln1,
    residual,
    out: "middle",
    attend,
  });
  const ln2 = norm(context, slots, { name: `h.${l}.ln_2`, x: middle, out: "ln2", epsilon });
  const tensors = { x: ln2, residual: middle, out: "residual" };
  return mlp(context, slots, mlpNames(l), tensors, { activation });
}

/** Backward of `block`: `dresidual` (N, C) comes in as the gradient of its output, leaves as of its input. */
function blockBackward(
  context: LayerContext,
  config: CausalLMConfig,
  l: number,
  batch: TokenBatch,
  residual: Tensor,
  dresidual: Tensor,
): void {
  const slots = slotsOf(context.arena, `h${l}.`);
  const { shape } = residual; // (N, C)
  const dnormed = context.arena.take("dnormed", shape);

  mlpBackward(
    context,
    slots,
    mlpNames(l),
    { x: slots("ln2", shape), dout: dresidual, dx: dnormed },
    config,
  );
  normBackward(context, slots, {
    name: `h.${l}.ln_2`,
    x: slots("middle", shape),
    out: "ln2",
    dout: dnormed,
    dx: dresidual,
  });
  attentionLayerBackward(
    context,
    slots,
    attentionNames(l),
    { x: slots("ln1", shape), dout: dresidual, dx: dnormed, batch },
    attentionOptions(config, l),
  );
  normBackward(context, slots, {
    name: `h.${l}.ln_1`,
    x: residual,
    out: "ln1",
    dout: dnormed,
    dx: dresidual,
  });
}
