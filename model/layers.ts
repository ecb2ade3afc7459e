import type { Arena, Dtype, Pass, Tensor } from "../kernels/runtime/mod.ts";
import { columnSum, columnSumPartials } from "../kernels/column_sum.ts";
import {
  layerNormBackward,
  layerNormBackwardParameters,
  layerNormForward,
  layerNormPartials,
} from "../kernels/layer_norm.ts";
import { matmul, type MatmulOptions } from "../kernels/matmul.ts";
import type { FlatTensors } from "./params.ts";

/** What a layer needs to record itself: where to, its numbers, its memory. */
export interface LayerContext {
  pass: Pass;
  /** Parameters by name. */
  values: FlatTensors;
  /** Gradients, added to by backward passes; absent in a frozen model. */
  grads?: FlatTensors | undefined;
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
export function gradsOf({ grads }: LayerContext): FlatTensors {
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
  /** Of the parameters: `name.weight` (in, out) and, where the layer has one, `name.bias` (out). */
  name: string;
  /** (N, in) */
  x: Tensor;
  /** (N, out) */
  out: Tensor;
  /** (N, out), added after the activation. */
  residual?: Tensor;
  /** (N, out), overwritten with what the activation is applied to. */
  preactivation?: Tensor;
}

/** Overwrites `out` with `activation(x W + b) + residual`. */
export function linear(
  { pass, values }: LayerContext,
  { name, x, ...tensors }: LinearTensors,
  options: Pick<MatmulOptions, "activation"> = {},
): void {
  const b = values.get(`${name}.weight`);
  const bias = values.has(`${name}.bias`) ? values.get(`${name}.bias`) : undefined;
  matmul(pass, { a: x, b, bias, ...tensors }, options);
}

/**
 * Backward of {@linkcode linear} without activation and residual.
 *
 * Overwrites `dx`, or adds to it with `accumulate`; adds to the gradients of weight and bias.
 */
export function linearBackward(
  context: LayerContext,
  { name, x, dout, dx }: { name: string; x: Tensor; dout: Tensor; dx: Tensor },
  { accumulate = false }: { accumulate?: boolean } = {},
): void {
  const { pass, values, arena } = context;
  const grads = gradsOf(context);
  const weight = values.get(`${name}.weight`);
  matmul(pass, { a: dout, b: weight, out: dx }, { layout: "nt", accumulate });
  matmul(pass, { a: x, b: dout, out: grads.get(`${name}.weight`) }, {
    layout: "tn",
    accumulate: true,
  });
  if (!grads.has(`${name}.bias`)) return;
  columnSum(pass, {
    x: dout,
    out: grads.get(`${name}.bias`),
    partials: arena.take("scratch.columns", [columnSumPartials(dout.rowCount), dout.columnCount]),
  });
}
