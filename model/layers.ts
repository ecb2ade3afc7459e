import type { Arena, Dtype, Pass, Tensor } from "../kernels/runtime/mod.ts";
import { columnSum, columnSumPartials } from "../kernels/column_sum.ts";
import {
  layerNormBackward,
  layerNormBackwardParameters,
  layerNormForward,
  layerNormPartials,
} from "../kernels/layer_norm.ts";
import { geluForward, type GeluKind } from "../kernels/gelu.ts";
import { matmul } from "../kernels/matmul.ts";
import type { Gradients } from "./gradients.ts";
import type { HalfTensors } from "./half_tensors.ts";
import type { Adapters } from "./lora.ts";
import type { NamedTensors } from "./params.ts";

/** What a layer needs to record itself: where to, its numbers, its memory. */
export interface LayerContext {
  pass: Pass;
  /** Parameters by name. */
  values: NamedTensors;
  /** Gradients of those parameters that are trained, added to by backward passes; absent in a frozen model. */
  grads?: Gradients | undefined;
  /** Those parameters that are kept in 16 bits, which `values` has in 32; absent where none is. */
  halves?: HalfTensors | undefined;
  /** What is added to linear layers, where the model is trained through adapters. */
  adapters?: Adapters | undefined;
  /** Gives the activation slots. */
  arena: Arena;
}

/** Slots of one layer: kept apart per layer where a backward pass will read them, shared otherwise. */
export type Slots = <D extends Dtype = "f32">(
  name: string,
  shape: readonly number[],
  dtype?: D,
) => Tensor<D>;

/** The slots of `arena` under a prefix. */
export function slotsOf(arena: Arena, prefix: string): Slots {
  return (name, shape, dtype) => arena.take(`${prefix}${name}`, shape, dtype);
}

/** The gradients of a model that has them. */
export function gradsOf({ grads }: LayerContext): Gradients {
  if (!grads) throw new TypeError("Cannot run a backward pass: the model was loaded frozen");
  return grads;
}

/** Layer norm `name`: returns the slot `out` (N, C) and keeps `out.mean` and `out.rstd` (N). */
export function norm(
  { pass, values }: LayerContext,
  slots: Slots,
  { name, x, out, epsilon }: { name: string; x: Tensor; out: string; epsilon: number },
): Tensor {
  const N = x.rowCount;
  const normed = slots(out, [N, x.columnCount]);
  layerNormForward(pass, {
    x,
    weight: values.get(`${name}.weight`),
    bias: values.get(`${name}.bias`),
    out: normed,
    mean: slots(`${out}.mean`, [N]),
    rstd: slots(`${out}.rstd`, [N]),
  }, { epsilon });
  return normed;
}

/** Backward of {@linkcode norm}: adds to `dx` and, where these are trained, to the gradients of weight and bias. */
export function normBackward(
  context: LayerContext,
  slots: Slots,
  { name, x, out, dout, dx }: { name: string; x: Tensor; out: string; dout: Tensor; dx: Tensor },
): void {
  const { pass, values, arena } = context;
  const grads = gradsOf(context);
  const N = x.rowCount;
  const saved = { x, mean: slots(`${out}.mean`, [N]), rstd: slots(`${out}.rstd`, [N]), dout };
  layerNormBackward(pass, { ...saved, weight: values.get(`${name}.weight`), dx });
  if (!grads.has(`${name}.weight`)) return;
  layerNormBackwardParameters(pass, {
    ...saved,
    dweight: grads.get(`${name}.weight`),
    dbias: grads.get(`${name}.bias`),
    partials: arena.take("scratch.norm", [layerNormPartials(N), 2, x.columnCount]),
  });
}

/** The tensors of {@linkcode linear}: N rows. */
export interface LinearTensors {
  /** Of the parameters: `name.weight` (out, in) and, where the layer has one, `name.bias` (out). */
  name: string;
  /** (N, in) */
  x: Tensor;
  /** (N, out) */
  out: Tensor;
  /** (N, out), added; goes without an activation. */
  residual?: Tensor;
  /** Applied to the sum, which overwrites `preactivation` (N, out). */
  activation?: { kind: GeluKind; preactivation: Tensor };
}

/** Overwrites `out` with `activation(x W^T + b) + residual`, with what adapters add to `x W^T`. */
export function linear(
  context: LayerContext,
  { name, x, out, residual, activation }: LinearTensors,
): void {
  const { pass, values, adapters } = context;
  const b = values.get(`${name}.weight`);
  const bias = values.has(`${name}.bias`) ? values.get(`${name}.bias`) : undefined;
  const layout = "nt";
  if (!adapters?.has(name)) {
    const { kind, preactivation } = activation ?? {};
    const tensors = { a: x, b, bias, residual, preactivation, out };
    matmul(pass, tensors, kind ? { layout, activation: kind } : { layout });
    return;
  }
  const sum = activation?.preactivation ?? out;
  matmul(pass, { a: x, b, bias, residual, out: sum }, { layout });
  adapters.forward(context, { name, x, out: sum });
  if (activation) geluForward(pass, { x: sum, out }, activation);
}

/**
 * Backward of {@linkcode linear} without activation and residual.
 *
 * Overwrites `dx`, or adds to it with `accumulate`; adds to the gradients of weight, bias and adapters, of those
 * that are trained.
 */
export function linearBackward(
  context: LayerContext,
  { name, x, dout, dx }: { name: string; x: Tensor; dout: Tensor; dx: Tensor },
  { accumulate = false }: { accumulate?: boolean } = {},
): void {
  const { pass, values, arena, adapters } = context;
  const grads = gradsOf(context);
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  matmul(pass, { a: dout, b: values.get(weight), out: dx }, { accumulate });
  if (adapters?.has(name)) adapters.backward(context, { name, x, dout, dx });
  if (grads.has(weight)) grads.addProduct(pass, weight, { dout, x });
  if (grads.has(bias)) {
    const shape = [columnSumPartials(dout.rowCount), dout.columnCount];
    const partials = arena.take("scratch.columns", shape);
    columnSum(pass, { x: dout, out: grads.get(bias), partials });
  }
}
