import common from "./common.wgsl" with { type: "text" };
import { byWidth, rowsOf } from "./elements.ts";
import source from "./layer_norm.wgsl" with { type: "text" };
import parametersSource from "./layer_norm_parameters.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";
import { partialCount, sumPartials } from "./sum_partials.ts";

const forward = byWidth((elements) =>
  kernel({
    label: "layer_norm_forward",
    code: source + elements + common,
    entry: "forward",
    bindings: {
      x: "read",
      weight: "read",
      bias: "read",
      out: "write",
      mean: "write",
      rstd: "write",
    },
    params: { N: "u32", C: "u32" },
  })
);

const backward = byWidth((elements) =>
  kernel({
    label: "layer_norm_backward",
    code: source + elements + common,
    entry: "backward",
    bindings: {
      x: "read",
      weight: "read",
      savedMean: "read",
      savedRstd: "read",
      dout: "read",
      dx: "add",
    },
    params: { N: "u32", C: "u32" },
  })
);

const backwardParameters = byWidth((elements) =>
  kernel({
    label: "layer_norm_backward_parameters",
    code: parametersSource + elements + common,
    entry: "backward_parameters",
    bindings: {
      x: "read",
      savedMean: "read",
      savedRstd: "read",
      dout: "read",
      partials: "write",
    },
    params: { N: "u32", C: "u32" },
  })
);

/** The tensors of {@linkcode layerNormForward}: N rows (leading axes flattened), C channels. */
export interface LayerNormForwardTensors {
  /** (N, C) */
  x: Tensor;
  /** (C) */
  weight: Tensor;
  /** (C) */
  bias: Tensor;
  /** (N, C) */
  out: Tensor;
  /** (N) mean of each row; keep it for {@linkcode layerNormBackward}. */
  mean: Tensor;
  /** (N) 1 / sqrt(variance + epsilon) of each row; keep it too. */
  rstd: Tensor;
}

/**
 * Overwrites `out` with `(x - mean) * rstd * weight + bias` over the last axis, and `mean` and `rstd`.
 *
 * The variance is biased (a mean over C) and taken in a second pass over the row.
 *
 * @param options.epsilon Added to the variance; 1e-5 in GPT-2.
 * @throws {ShapeError} If the shapes differ.
 *
 * Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), as torch.nn.LayerNorm has it.
 */
export function layerNormForward(
  pass: Pass,
  { x, weight, bias, out, mean, rstd }: LayerNormForwardTensors,
  { epsilon }: { epsilon: number },
): void {
  const operation = "layerNormForward";
  const { N, C, width } = rowsOf(operation, { x, out });
  expectSize(operation, "weight", weight, C);
  expectSize(operation, "bias", bias, C);
  expectSize(operation, "mean", mean, N);
  expectSize(operation, "rstd", rstd, N);
  pass.dispatch(forward[width], {
    tensors: { x, weight, bias, out, mean, rstd },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes, EPSILON: epsilon },
    workgroups: [N],
  });
}

/** Length P of the scratch tensor `partials` of {@linkcode layerNormBackwardParameters} for this many rows. */
export const layerNormPartials: (rows: number) => number = partialCount;

/** The tensors of {@linkcode layerNormBackward}: N rows, C channels. */
export interface LayerNormBackwardTensors {
  /** (N, C) */
  x: Tensor;
  /** (C) */
  weight: Tensor;
  /** (N) from the forward pass. */
  mean: Tensor;
  /** (N) from the forward pass. */
  rstd: Tensor;
  /** (N, C) */
  dout: Tensor;
  /** (N, C) gradient of the residual stream. */
  dx: Tensor;
}

/**
 * Adds to `dx` the gradient of {@linkcode layerNormForward} with respect to `x`.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function layerNormBackward(pass: Pass, tensors: LayerNormBackwardTensors): void {
  const { x, weight, mean: savedMean, rstd: savedRstd, dout, dx } = tensors;
  const operation = "layerNormBackward";
  const { N, C, width } = rowsOf(operation, { x, dout, dx });
  expectSize(operation, "weight", weight, C);
  expectSize(operation, "mean", savedMean, N);
  expectSize(operation, "rstd", savedRstd, N);
  pass.dispatch(backward[width], {
    tensors: { x, weight, savedMean, savedRstd, dout, dx },
    params: { N, C: C / width },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [N],
  });
}

/** The tensors of {@linkcode layerNormBackwardParameters}: N rows, C channels, P = `layerNormPartials(N)`. */
export interface LayerNormParametersTensors
  extends Omit<LayerNormBackwardTensors, "weight" | "dx"> {
  /** (C) */
  dweight: Tensor;
  /** (C) */
  dbias: Tensor;
  /** (P, 2, C) scratch, overwritten. */
  partials: Tensor;
}

/**
 * Adds to `dweight` and `dbias` the gradients of {@linkcode layerNormForward}. Overwrites `partials`.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function layerNormBackwardParameters(
  pass: Pass,
  tensors: LayerNormParametersTensors,
): void {
  const { x, mean: savedMean, rstd: savedRstd, dout, dweight, dbias, partials } = tensors;
  const operation = "layerNormBackwardParameters";
  const { N, C, width } = rowsOf(operation, { x, dout });
  const P = layerNormPartials(N);
  expectSize(operation, "mean", savedMean, N);
  expectSize(operation, "rstd", savedRstd, N);
  expectSize(operation, "dweight", dweight, C);
  expectSize(operation, "dbias", dbias, C);
  expectShape(operation, "partials", partials, [P, 2, C]);
  const params = { N, C: C / width };
  const lanes = pass.gpu.rowLanes;
  pass.dispatch(backwardParameters[width], {
    tensors: { x, savedMean, savedRstd, dout, partials },
    params,
    constants: { WORKGROUP_SIZE: lanes },
    workgroups: [Math.ceil(params.C / lanes), P],
  });
  sumPartials(pass, { partials, out: dweight }, { slice: 0 });
  sumPartials(pass, { partials, out: dbias }, { slice: 1 });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backward, backwardParameters]
  .flatMap((kernels): Kernel[] => Object.values(kernels));
