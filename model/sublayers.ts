/** The two halves of a transformer block, wherever its layer norms stand; each adds to a residual stream. */

import {
  attentionBackward,
  attentionForward,
  type AttentionOptions,
} from "../kernels/attention.ts";
import { geluBackward, type GeluKind } from "../kernels/gelu.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import { type LayerContext, linear, linearBackward, type Slots, slotsOf } from "./layers.ts";
import type { TokenBatch } from "./token_batch.ts";

/** The names of self-attention's two linear layers. */
export interface AttentionNames {
  /** C to 3C: queries, keys and values. */
  qkv: string;
  /** C to C */
  proj: string;
}

/** The names of an MLP's two linear layers. */
export interface MlpNames {
  /** C to F */
  fc: string;
  /** F to C */
  proj: string;
}

/**
 * `attend(x Wqkv^T + b) Wproj^T + b + residual`, (N, C), in the slot `out`.
 *
 * @param tensors.x (N, C)
 * @param tensors.residual (N, C)
 * @param tensors.attend Mixes the tokens: (N, 3C) to (N, C).
 */
export function attentionLayer(
  context: LayerContext,
  slots: Slots,
  names: AttentionNames,
  { x, residual, out, attend }: {
    x: Tensor;
    residual: Tensor;
    out: string;
    attend: (qkv: Tensor) => Tensor;
  },
): Tensor {
  const [N, C] = [x.rowCount, x.columnCount];
  const qkv = slots("qkv", [N, 3 * C]);
  linear(context, { name: names.qkv, x, out: qkv });
  const attention = attend(qkv);
  const sum = slots(out, [N, C]);
  linear(context, { name: names.proj, x: attention, residual, out: sum });
  return sum;
}

/** Every token of a batch attends to those of its row: (N, 3C) to (N, C). Keeps the slots `attention` and `lse`. */
export function attendWithin(
  { pass }: LayerContext,
  slots: Slots,
  { N, sequences }: TokenBatch,
  qkv: Tensor,
  options: AttentionOptions,
): Tensor {
  const C = qkv.columnCount / 3;
  const out = slots("attention", [N, C]);
  const lse = slots("lse", [options.heads, N]);
  attentionForward(pass, { qkv, sequences, out, lse }, options);
  return out;
}

/**
 * Backward of {@linkcode attentionLayer} with {@linkcode attendWithin}: overwrites `dx` (N, C), or adds to it
 * with `accumulate`; adds to the gradients of the parameters. What flows through the residual is the caller's.
 *
 * @param tensors.x (N, C) as in the forward pass.
 * @param tensors.dout (N, C) gradient of the sum; may be `dx`, since it is read first.
 */
export function attentionLayerBackward(
  context: LayerContext,
  slots: Slots,
  names: AttentionNames,
  { x, dout, dx, batch: { N, sequences } }: {
    x: Tensor;
    dout: Tensor;
    dx: Tensor;
    batch: TokenBatch;
  },
  { accumulate = false, ...options }: AttentionOptions & { accumulate?: boolean },
): void {
  const { pass, arena } = context;
  const C = x.columnCount;
  const scratch = slotsOf(arena, "d");
  const dattention = scratch("attention", [N, C]);
  linearBackward(context, {
    name: names.proj,
    x: slots("attention", [N, C]),
    dout,
    dx: dattention,
  });
  const dqkv = scratch("qkv", [N, 3 * C]);
  attentionBackward(pass, {
    qkv: slots("qkv", [N, 3 * C]),
    sequences,
    out: slots("attention", [N, C]),
    lse: slots("lse", [options.heads, N]),
    dout: dattention,
    delta: scratch("delta", [options.heads, N]),
    dqkv,
  }, options);
  linearBackward(context, { name: names.qkv, x, dout: dqkv, dx }, { accumulate });
}

/**
 * `activation(x Wfc^T + b) Wproj^T + b + residual`, (N, C), in the slot `out`. Keeps the slots `fc`, which is
 * before the activation, and `activated`.
 *
 * @param tensors.x (N, C)
 * @param tensors.residual (N, C)
 */
export function mlp(
  context: LayerContext,
  slots: Slots,
  names: MlpNames,
  { x, residual, out }: { x: Tensor; residual: Tensor; out: string },
  { activation }: { activation: GeluKind },
): Tensor {
  const [N, C] = [x.rowCount, x.columnCount];
  const F = context.values.get(`${names.fc}.weight`).rowCount;
  const activated = slots("activated", [N, F]);
  const preactivation = slots("fc", [N, F]);
  linear(context, {
    name: names.fc,
    x,
    out: activated,
    activation: { kind: activation, preactivation },
  });
  const sum = slots(out, [N, C]);
  linear(context, { name: names.proj, x: activated, residual, out: sum });
  return sum;
}

/**
 * Backward of {@linkcode mlp}: overwrites `dx` (N, C), or adds to it with `accumulate`; adds to the gradients
 * of the parameters. What flows through the residual is the caller's.
 *
 * @param tensors.x (N, C) as in the forward pass.
 * @param tensors.dout (N, C) gradient of the sum; may be `dx`, since it is read first.
 */
export function mlpBackward(
  context: LayerContext,
  slots: Slots,
  names: MlpNames,
  { x, dout, dx }: { x: Tensor; dout: Tensor; dx: Tensor },
  { activation, accumulate = false }: { activation: GeluKind; accumulate?: boolean },
): void {
  const { pass, arena, values } = context;
  const N = x.rowCount;
  const F = values.get(`${names.fc}.weight`).rowCount;
  const dactivated = arena.take("dactivated", [N, F]);
  const activated = slots("activated", [N, F]);
  linearBackward(context, { name: names.proj, x: activated, dout, dx: dactivated });
  geluBackward(pass, { x: slots("fc", [N, F]), dout: dactivated }, { kind: activation });
  linearBackward(context, { name: names.fc, x, dout: dactivated, dx }, { accumulate });
}
