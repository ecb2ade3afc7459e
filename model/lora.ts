/**
 * LoRA: what training adds to a linear layer is the product of two thin matrices, and nothing else is trained.
 *
 * With A (r, in) and B (out, r), the layer computes x W^T + (alpha / r) (x A^T) B^T; the sum of the weights is never made.
 * Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1.
 */

import { matmul } from "../kernels/matmul.ts";
import type { Gpu, Pass, Tensor } from "../kernels/runtime/mod.ts";
import { showJson } from "../weights/json.ts";
import { gradsOf, type LayerContext } from "./layers.ts";
import { linearParameters, type NamedTensors, type ParameterSpec } from "./params.ts";

/** What adapters are like, and where they are. */
export interface LoraOptions {
  /** r, the most ranks by which a weight can change. */
  rank: number;
  /** The change is scaled by alpha / rank. */
  alpha: number;
  /**
   * The linear layers that get one, by their names in the checkpoint or the ends of these, such as `c_attn` or
   * `mlp.c_proj`; all of attention and MLP if empty.
   */
  targets: readonly string[];
}

/** Adapters that the model has no place for. */
export class LoraError extends RangeError {
  /** The name of the class. */
  override name = "LoraError";
}

/** A linear layer of the checkpoint that has an adapter. */
export interface AdaptedLayer {
  /** In the checkpoint, without prefix: `h.0.attn.attention.q_proj`. */
  readonly name: string;
  /** The layer here whose output it is a part of: `h.0.attn.c_attn`. */
  readonly layer: string;
  readonly inputs: number;
  /** The columns of that output, which are rows of the weight: from `from` to `to`, exclusive. */
  readonly from: number;
  readonly to: number;
  /** Whether the checkpoint keeps the weight as (in, out). */
  readonly transposed: boolean;
}

/** The adapters of a model. Their numbers are among the model's parameters, by the names of {@linkcode parameters}. */
export class Adapters {
  /**
   * The layers of the checkpoint that have an adapter.
   *
   * @internal
   */
  readonly layers: readonly AdaptedLayer[];
  readonly #byLayer: ReadonlyMap<string, readonly AdaptedLayer[]>;

  /**
   * Finds the layers that the targets name.
   *
   * @param specs The parameters of the model without adapters.
   * @throws {LoraError} If the rank is no whole number above 0, there are no layers, or none has the name of a target.
   */
  constructor(readonly options: LoraOptions, specs: readonly ParameterSpec[]) {
    const { rank } = options;
    if (!Number.isSafeInteger(rank) || rank < 1) {
      throw new LoraError(`Cannot adapt with rank ${rank}: it must be a whole number above 0`);
    }
    const layers = specs.flatMap(linearLayers);
    if (layers.length === 0) {
      throw new LoraError("Cannot adapt the model: all of its layers are frozen; freeze fewer");
    }
    this.layers = targeted(layers, options.targets);
    this.#byLayer = Map.groupBy(this.layers, ({ layer }) => layer);
  }

  /** alpha / r. */
  get scale(): number {
    return this.options.alpha / this.options.rank;
  }

  /** A and B of every adapter, under PEFT's names. */
  get parameters(): ParameterSpec[] {
    const { rank } = this.options;
    return this.layers.flatMap(({ name, inputs, from, to }) => [
      linearParameters(`${name}.lora_A`, { inputs, outputs: rank })[0],
      linearParameters(`${name}.lora_B`, { inputs: rank, outputs: to - from })[0],
    ]);
  }

  /** The linear layers that have adapters. */
  get names(): string[] {
    return [...this.#byLayer.keys()];
  }

  /** Whether a linear layer has adapters. */
  has(layer: string): boolean {
    return this.#byLayer.has(layer);
  }

  /**
   * Adds to `out` (N, out) of the linear layer `name` what its adapters make of `x` (N, in).
   *
   * @internal
   */
  forward(context: LayerContext, { name, x, out }: { name: string; x: Tensor; out: Tensor }): void {
    const { pass, values } = context;
    for (const adapted of this.#byLayer.get(name) ?? []) {
      const low = this.#project(context, adapted, x);
      const part = out.columns(adapted.from, adapted.to);
      const { B } = matricesOf(values, adapted);
      matmul(pass, { a: low, b: B, out: part }, { layout: "nt", accumulate: true });
    }
  }

  /**
   * Backward of {@linkcode forward}: adds to `dx` (N, in) and to the gradients of A and B.
   *
   * @param tensors.dout (N, out) gradient with respect to the layer's output.
   * @internal
   */
  backward(
    context: LayerContext,
    { name, x, dout, dx }: { name: string; x: Tensor; dout: Tensor; dx: Tensor },
  ): void {
    const { pass, values, arena } = context;
    const { scale } = this;
    const grads = gradsOf(context);
    for (const adapted of this.#byLayer.get(name) ?? []) {
      const names = namesOf(adapted);
      const { A, B } = matricesOf(values, adapted);
      const dpart = dout.columns(adapted.from, adapted.to);
      const low = this.#project(context, adapted, x); // again: it is cheaper than to keep
      grads.addProduct(pass, names.B, { dout: dpart, x: low });
      const dlow = arena.take("lora.dlow", low.shape);
      matmul(pass, { a: dpart, b: B, out: dlow }, { scale });
      grads.addProduct(pass, names.A, { dout: dlow, x });
      matmul(pass, { a: dlow, b: A, out: dx }, { accumulate: true });
    }
  }

  /**
   * Adds the adapters of the linear layer `name` to its weight, so that it does without them.
   *
   * @param tensors.weight (out, in), as a whole.
   * @param tensors.values Has A and B of the adapters.
   * @internal
   */
  merge(
    pass: Pass,
    { name, weight, values }: { name: string; weight: Tensor; values: NamedTensors },
  ): void {
    for (const adapted of this.#byLayer.get(name) ?? []) {
      const { A, B } = matricesOf(values, adapted);
      const out = weight.rows(adapted.from, adapted.to);
      matmul(pass, { a: B, b: A, out }, { accumulate: true, scale: this.scale });
    }
  }

  /** `scale * x A^T` (N, r). */
  #project({ pass, values, arena }: LayerContext, adapted: AdaptedLayer, x: Tensor): Tensor {
    const low = arena.take("lora.low", [x.rowCount, this.options.rank]);
    const { A } = matricesOf(values, adapted);
    matmul(pass, { a: x, b: A, out: low }, { layout: "nt", scale: this.scale });
    return low;
  }
}

function namesOf({ name }: AdaptedLayer): { A: string; B: string } {
  return { A: `${name}.lora_A.weight`, B: `${name}.lora_B.weight` };
}

/** A (r, in) and B (out, r) of an adapter. */
function matricesOf(values: NamedTensors, adapted: AdaptedLayer): { A: Tensor; B: Tensor } {
  const { A, B } = namesOf(adapted);
  return { A: values.get(A), B: values.get(B) };
}

/** The checkpoint's linear layers that make up a parameter: none, if it is not the weight of one in a block. */
function linearLayers({ name, shape, stored }: ParameterSpec): AdaptedLayer[] {
  if (!/^h\..*\.weight$/.test(name) || shape.length !== 2) return [];
  const layerOf = (weight: string) => weight.replace(/\.weight$/, "");
  const [, inputs] = shape;
  let from = 0;
  return (stored ?? [{ name, shape }]).map(({ name: weight, shape, transposed = false }) => {
    const to = from + (transposed ? shape[1] : shape[0]);
    const part = { name: layerOf(weight), layer: layerOf(name), inputs, from, to, transposed };
    from = to;
    return part;
  });
}

/** Those layers that `targets` name, as PEFT compares: the whole name, or its end after a point. */
function targeted(
  layers: readonly AdaptedLayer[],
  targets: readonly string[],
): readonly AdaptedLayer[] {
  if (targets.length === 0) return layers;
  const isNamed = ({ name }: AdaptedLayer, target: string) =>
    `.transformer.${name}`.endsWith(`.${target}`);
  for (const target of targets) {
    if (layers.some((layer) => isNamed(layer, target))) continue;
    const names = new Set(layers.map(({ name }) => name.replace(/^.*\./, "")));
    throw new LoraError(
      `Cannot adapt ${showJson(target)}: no linear layer of attention or MLP has this name; ` +
        `use some of ${[...names].join(", ")}`,
    );
  }
  return layers.filter((layer) => targets.some((target) => isNamed(layer, target)));
}

/**
 * Starts adapters as PEFT does: A uniform, as torch initialises linear layers, and B zero, so that they change
 * nothing at first.
 *
 * @param values Where A is overwritten; B is zero there already.
 * @param uniform Numbers from 0 to 1.
 */
export function initialiseAdapters(
  gpu: Gpu,
  { layers }: Adapters,
  { values, uniform }: { values: NamedTensors; uniform: () => number },
): void {
  for (const adapted of layers) {
    const { A } = matricesOf(values, adapted);
    const bound = 1 / Math.sqrt(adapted.inputs); // kaiming_uniform_ with a = sqrt(5)
    gpu.write(A, Float32Array.from({ length: A.size }, () => bound * (2 * uniform() - 1)));
  }
}
