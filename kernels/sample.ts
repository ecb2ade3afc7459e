import common from "./common.wgsl" with { type: "text" };
import logSumExp from "./log_sum_exp.wgsl" with { type: "text" };
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";
import source from "./sample.wgsl" with { type: "text" };

const draw = kernel({
  label: "sample",
  code: source + logSumExp + common,
  entry: "sample",
  bindings: {
    logits: "read",
    rows: "read",
    state: "read",
    stopIds: "read",
    next: "write",
    logprobs: "write",
  },
  params: {
    N: "u32",
    V: "u32",
    logitsStride: "u32",
    stopCount: "u32",
    temperature: "f32",
    topK: "u32",
    topP: "f32",
    greedy: "u32",
    minNewTokens: "u32",
  },
});

/** The tensors of {@linkcode sample}: N rows, V vocabulary. */
export interface SampleTensors {
  /** (N, V) raw scores; rows may be padded. */
  logits: Tensor;
  /** (N) numbers that tell the rows of a batch apart. */
  rows: Tensor<"u32">;
  /** (4) where the generation stands; see `decodeAdvance`. */
  state: Tensor<"u32">;
  /** (S) ids that end a row, S at least 1; 0xffffffff is no id. */
  stopIds: Tensor<"u32">;
  /** (N) the drawn ids. */
  next: Tensor<"u32">;
  /** (N) their log-probabilities in nats, before top-k, top-p and the exclusion of stop ids. */
  logprobs: Tensor;
}

/** How {@linkcode sample} chooses. Top-k comes before top-p, and both after the temperature. */
export interface SampleOptions {
  /** Divides the logits; above 0. */
  temperature: number;
  /** Only the k likeliest tokens, and those as likely as the k-th; 0 for all. */
  topK: number;
  /** Only the fewest likeliest tokens whose probabilities reach this sum, at least one; 1 for all. */
  topP: number;
  /** Always the likeliest token, the lowest id of equals; top-k and top-p do not matter then. */
  greedy: boolean;
  /** Stop ids are not drawn before this many tokens were generated. */
  minNewTokens: number;
}

/**
 * Overwrites `next` with one token for each row, drawn from `softmax(logits / temperature)`.
 *
 * The draw is exact, by the Gumbel-max trick. Its noise is a hash of (seed, step, the row's number, tokens
 * generated so far, id): the same numbers give the same draw, whatever other rows are in the batch, however
 * prompts were padded, and in whatever order rows are taken. A row of NaN draws id 0,
 * with log-probability NaN.
 *
 * @throws {ShapeError} If the sizes differ.
 *
 * Source: top-p as in Holtzman et al. 2020 (arXiv:1904.09751) eq. 2; the hash is pcg4d of Jarzynski & Olano 2020.
 */
export function sample(pass: Pass, tensors: SampleTensors, options: SampleOptions): void {
  const { logits, rows, state, stopIds, next, logprobs } = tensors;
  const { temperature, topK, topP, greedy, minNewTokens } = options;
  const { rowCount: N, columnCount: V, rowStride: logitsStride } = logits;
  expectSize("sample", "rows", rows, N);
  expectSize("sample", "state", state, 4);
  expectSize("sample", "next", next, N);
  expectSize("sample", "logprobs", logprobs, N);
  pass.dispatch(draw, {
    tensors: { logits, rows, state, stopIds, next, logprobs },
    params: {
      N,
      V,
      logitsStride,
      stopCount: stopIds.size,
      temperature,
      topK,
      topP,
      greedy: Number(greedy),
      minNewTokens,
    },
    constants: { WORKGROUP_SIZE: lanesFor(pass, V, options) },
    workgroups: [N],
  });
}

/**
 * Few rows and many columns: as many lanes as a GPU has, but one vector of a CPU, where barriers are dear.
 *
 * Mesa 22 ends an invocation's loops after 65,535 rounds altogether, and the filters go over a row 66 times.
 */
function lanesFor(pass: Pass, V: number, { topK, topP }: SampleOptions): number {
  const filtering = topK > 0 || topP < 1;
  return pass.gpu.software && !(filtering && V > 3000) ? 8 : 256;
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [draw];
