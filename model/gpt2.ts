import { attentionBackward, attentionForward } from "../kernels/attention.ts";
import { attentionDecode } from "../kernels/attention_decode.ts";
import { embeddingBackward, embeddingForward, groupRows } from "../kernels/embedding.ts";
import { geluBackward } from "../kernels/gelu.ts";
import { kvStore } from "../kernels/kv_store.ts";
import { matmul } from "../kernels/matmul.ts";
import type { Arena, Tensor } from "../kernels/runtime/mod.ts";
import type { Gpt2Config } from "./config.ts";
import {
  gradsOf,
  type LayerContext,
  linearBackward,
  norm,
  normBackward,
  type Slots,
  slotsOf,
} from "./layers.ts";
import type { ParameterSpec } from "./params.ts";
import type { TokenBatch } from "./token_batch.ts";

/** The keys and values of tokens seen so far, for decoding one token at a time. */
export interface KvCache {
  /** Per layer (B, Tmax, 2C): keys, then values. */
  layers: readonly Tensor[];
  /** (B, 2) the first column of each row that is a token; the second number is not read. */
  keys: Tensor<"u32">;
  /** (1) the column of the first token of this forward pass. */
  position: Tensor<"u32">;
}

/** Names and shapes of GPT-2's parameters as its checkpoints have them; Conv1D weights are (in, out). */
export function gpt2Parameters(config: Gpt2Config): ParameterSpec[] {
  const { vocabSize: V, nPositions: P, nEmbd: C, nInner: F, nLayer: L } = config;
  const layer = (l: number): ParameterSpec[] => [
    { name: `h.${l}.ln_1.weight`, shape: [C] },
    { name: `h.${l}.ln_1.bias`, shape: [C] },
    { name: `h.${l}.attn.c_attn.weight`, shape: [C, 3 * C] },
    { name: `h.${l}.attn.c_attn.bias`, shape: [3 * C] },
    { name: `h.${l}.attn.c_proj.weight`, shape: [C, C] },
    { name: `h.${l}.attn.c_proj.bias`, shape: [C] },
    { name: `h.${l}.ln_2.weight`, shape: [C] },
    { name: `h.${l}.ln_2.bias`, shape: [C] },
    { name: `h.${l}.mlp.c_fc.weight`, shape: [C, F] },
    { name: `h.${l}.mlp.c_fc.bias`, shape: [F] },
    { name: `h.${l}.mlp.c_proj.weight`, shape: [F, C] },
    { name: `h.${l}.mlp.c_proj.bias`, shape: [C] },
  ];
  return [
    { name: "wte.weight", shape: [V, C] },
    { name: "wpe.weight", shape: [P, C] },
    ...Array.from({ length: L }, (_, l) => layer(l)).flat(),
    { name: "ln_f.weight", shape: [C] },
    { name: "ln_f.bias", shape: [C] },
    ...(config.tieWordEmbeddings ? [] : [{ name: "lm_head.weight", shape: [V, C] }]),
  ];
}

/**
 * The trunk of GPT-2: token ids to the hidden states after the last layer norm, (B*T, C).
 *
 * With `train` every layer keeps its activations in `context.arena` for {@linkcode gpt2Backward}; without,
 * the layers share them. With a `cache`, the keys and values of the batch are stored in it.
 */
export function gpt2Forward(
  context: LayerContext,
  config: Gpt2Config,
  batch: TokenBatch,
  { train = false, cache }: { train?: boolean; cache?: KvCache } = {},
): Tensor {
  const { pass, arena } = context;
  const { B, T } = batch;
  const { nEmbd: C, nHead: heads, nLayer, layerNormEpsilon: epsilon } = config;

  let residual = embed(context, batch.ids, batch.positions, C); // (B*T, C)
  for (let l = 0; l < nLayer; l++) {
    const slots = slotsOf(arena, train ? `h${l}.` : "h.");
    residual = block(context, config, l, slots, residual, (qkv) => {
      if (cache) {
        const { layers, position } = cache;
        kvStore(pass, { qkv: qkv.view([B, T, 3 * C]), cache: layers[l], position });
      }
      const out = slots("attention", [B, T, C]);
      const lse = slots("lse", [B, heads, T]);
      attentionForward(pass, { qkv: qkv.view([B, T, 3 * C]), keys: batch.keys, out, lse }, {
        heads,
      });
      return out.view([B * T, C]);
    });
  }
  return norm(context, slotsOf(arena, ""), { name: "ln_f", x: residual, out: "hidden", epsilon });
}

/** One token for each row, attending to `cache`, which takes its keys and values too: (B) to (B, C). */
export function gpt2Decode(
  context: LayerContext,
  config: Gpt2Config,
  token: { ids: Tensor<"u32">; positions: Tensor<"u32"> },
  cache: KvCache,
): Tensor {
  const { pass, arena } = context;
  const B = token.ids.size;
  const { nEmbd: C, nHead: heads, nLayer, layerNormEpsilon: epsilon } = config;
  const slots = slotsOf(arena, "decode.");

  let residual = embed(context, token.ids, token.positions, C); // (B, C)
  for (let l = 0; l < nLayer; l++) {
    residual = block(context, config, l, slots, residual, (qkv) => {
      const { keys, position } = cache;
      kvStore(pass, { qkv: qkv.view([B, 1, 3 * C]), cache: cache.layers[l], position });
      const out = slots("attention", [B, C]);
      attentionDecode(pass, { qkv, cache: cache.layers[l], keys, position, out }, { heads });
      return out;
    });
  }
  return norm(context, slots, { name: "ln_f", x: residual, out: "hidden", epsilon });
}

/**
 * Backward of {@linkcode gpt2Forward} with `train`: adds to every gradient of the trunk.
 *
 * @param dhidden (B*T, C) gradient with respect to the hidden states.
 */
export function gpt2Backward(
  context: LayerContext,
  config: Gpt2Config,
  batch: TokenBatch,
  dhidden: Tensor,
): void {
  const { pass, arena } = context;
  const N = batch.B * batch.T;
  const { nLayer, nEmbd: C } = config;
  const streamOf = (l: number) => arena.take(l < 0 ? "embedded" : `h${l}.residual`, [N, C]);

  const dresidual = arena.take("dresidual", [N, C]);
  pass.clear(dresidual);
  normBackward(context, slotsOf(arena, ""), {
    name: "ln_f",
    x: streamOf(nLayer - 1),
    out: "hidden",
    dout: dhidden,
    dx: dresidual,
  });
  for (let l = nLayer - 1; l >= 0; l--) {
    blockBackward(context, config, l, batch, streamOf(l - 1), dresidual);
  }
  embedBackward(context, batch, dresidual);
}

/** `wte[ids] + wpe[positions]`: (N, C). */
function embed(
  { pass, values, arena }: LayerContext,
  ids: Tensor<"u32">,
  positions: Tensor<"u32">,
  C: number,
): Tensor {
  const out = arena.take("embedded", [ids.size, C]);
  const wte = values.get("wte.weight");
  const wpe = values.get("wpe.weight");
  embeddingForward(pass, { ids, positions, wte, wpe, out });
  return out;
}

function embedBackward(context: LayerContext, { host }: TokenBatch, dout: Tensor): void {
  const grads = gradsOf(context);
  for (const [table, rows] of [["wte", host.ids], ["wpe", host.positions]] as const) {
    const groups = uploadGroups(context.arena, table, groupRows(rows, host.mask));
    embeddingBackward(context.pass, { dout, groups, dtable: grads.get(`${table}.weight`) });
  }
}

function uploadGroups(arena: Arena, table: string, groups: ReturnType<typeof groupRows>) {
  const upload = (name: string, data: Uint32Array) => {
    const tensor = arena.take(`${table}.${name}`, [data.length], "u32");
    arena.gpu.write(tensor, data);
    return tensor;
  };
  return {
    order: upload("order", groups.order),
    starts: upload("starts", groups.starts),
    lengths: upload("lengths", groups.lengths),
    targets: upload("targets", groups.targets),
  };
}

/** A transformer block: attention and MLP, each behind a layer norm and added to the residual stream. */
function block(
  context: LayerContext,
  config: Gpt2Config,
  l: number,
  slots: Slots,
  residual: Tensor,
  attend: (qkv: Tensor) => Tensor,
): Tensor {
  const { pass, values } = context;
  const { nEmbd: C, nInner: F, layerNormEpsilon: epsilon, activation } = config;
  const N = residual.rowCount;
  const weight = (name: string) => values.get(`h.${l}.${name}.weight`);
  const bias = (name: string) => values.get(`h.${l}.${name}.bias`);

  const ln1 = norm(context, slots, { name: `h.${l}.ln_1`, x: residual, out: "ln1", epsilon });
  const qkv = slots("qkv", [N, 3 * C]);
  matmul(pass, { a: ln1, b: weight("attn.c_attn"), bias: bias("attn.c_attn"), out: qkv });
  const attention = attend(qkv);
  const middle = slots("middle", [N, C]);
  matmul(pass, {
    a: attention,
    b: weight("attn.c_proj"),
    bias: bias("attn.c_proj"),
    residual,
    out: middle,
  });

  const ln2 = norm(context, slots, { name: `h.${l}.ln_2`, x: middle, out: "ln2", epsilon });
  const fc = slots("fc", [N, F]); // before the activation
  const activated = slots("activated", [N, F]);
  matmul(pass, {
    a: ln2,
    b: weight("mlp.c_fc"),
    bias: bias("mlp.c_fc"),
    preactivation: fc,
    out: activated,
  }, { activation });
  const out = slots("residual", [N, C]);
  matmul(pass, {
    a: activated,
    b: weight("mlp.c_proj"),
    bias: bias("mlp.c_proj"),
    residual: middle,
    out,
  });
  return out;
}

/** Backward of `block`: `dresidual` (N, C) comes in as the gradient of its output, leaves as of its input. */
function blockBackward(
  context: LayerContext,
  config: Gpt2Config,
  l: number,
  { B, T, keys }: TokenBatch,
  residual: Tensor,
  dresidual: Tensor,
): void {
  const { pass, arena } = context;
  const { nEmbd: C, nInner: F, nHead: heads, activation: kind } = config;
  const N = B * T;
  const slots = slotsOf(arena, `h${l}.`);
  const scratch = slotsOf(arena, "d");
  const dnormed = scratch("normed", [N, C]);

  const dactivated = scratch("activated", [N, F]);
  const x = slots("activated", [N, F]);
  linearBackward(context, { name: `h.${l}.mlp.c_proj`, x, dout: dresidual, dx: dactivated });
  geluBackward(pass, { x: slots("fc", [N, F]), dout: dactivated }, { kind });
  linearBackward(context, {
    name: `h.${l}.mlp.c_fc`,
    x: slots("ln2", [N, C]),
    dout: dactivated,
    dx: dnormed,
  });
  normBackward(context, slots, {
    name: `h.${l}.ln_2`,
    x: slots("middle", [N, C]),
    out: "ln2",
    dout: dnormed,
    dx: dresidual,
  });

  const dattention = scratch("attention", [B, T, C]);
  linearBackward(context, {
    name: `h.${l}.attn.c_proj`,
    x: slots("attention", [N, C]),
    dout: dresidual,
    dx: dattention.view([N, C]),
  });
  const dqkv = scratch("qkv", [B, T, 3 * C]);
  attentionBackward(pass, {
    qkv: slots("qkv", [B, T, 3 * C]),
    keys,
    out: slots("attention", [B, T, C]),
    lse: slots("lse", [B, heads, T]),
    dout: dattention,
    delta: scratch("delta", [B, heads, T]),
    dqkv,
  }, { heads });
  linearBackward(context, {
    name: `h.${l}.attn.c_attn`,
    x: slots("ln1", [N, C]),
    dout: dqkv.view([N, 3 * C]),
    dx: dnormed,
  });
  normBackward(context, slots, {
    name: `h.${l}.ln_1`,
    x: residual,
    out: "ln1",
    dout: dnormed,
    dx: dresidual,
  });
}
