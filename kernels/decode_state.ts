import common from "./common.wgsl" with { type: "text" };
import source from "./decode_state.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  ShapeError,
  show,
  type Tensor,
} from "./runtime/mod.ts";

const advance = kernel({
  label: "decode_advance",
  code: source + common,
  entry: "advance",
  bindings: {
    next: "read",
    logprobs: "read",
    stopIds: "read",
    state: "update",
    live: "update",
    tokens: "update",
    tokenLogprobs: "update",
    position: "write",
  },
  params: { N: "u32", stride: "u32", columns: "u32", stopCount: "u32", padId: "u32" },
});

/**
 * What is known of every row that tokens are drawn for: which row of the batch it is, the position id of its newest
 * token, 1 where a stop id has ended it, and the id to feed next. In this order they are the rows of `live`.
 */
export const LIVE = ["row", "position", "finished", "current"] as const;

/** So that every row of `live` can be bound by itself. */
const LIVE_COLUMNS = 64;

/** Columns of `live` for n rows. */
export function liveColumns(n: number): number {
  return LIVE_COLUMNS * Math.ceil(n / LIVE_COLUMNS);
}

/** One of the rows of `live`, (n); shares memory. */
export function ofLive(
  live: Tensor<"u32">,
  name: typeof LIVE[number],
  n: number,
): Tensor<"u32"> {
  const at = LIVE.indexOf(name);
  return live.rows(at, at + 1).view([live.columnCount]).rows(0, n);
}

/** The tensors of {@linkcode decodeAdvance}: n of B rows, Tmax columns for prompts and what follows them. */
export interface DecodeTensors {
  /** (n) the ids that `sample` drew. */
  next: Tensor<"u32">;
  /** (n) their log-probabilities, nats. */
  logprobs: Tensor;
  /** (S) ids that end a row; 0xffffffff is no id. */
  stopIds: Tensor<"u32">;
  /** (4) where the generation stands: column of the next token in `tokens` (below Tmax), tokens generated so far, seed, step. */
  state: Tensor<"u32">;
  /** (4, {@linkcode liveColumns}) {@linkcode LIVE} of n rows. */
  live: Tensor<"u32">;
  /** (B, Tmax) token ids. */
  tokens: Tensor<"u32">;
  /** (B, Tmax) log-probabilities of the generated tokens, nats. */
  tokenLogprobs: Tensor;
  /** (1) the column of `current` in `tokens`, for the attention's cache. */
  position: Tensor<"u32">;
}

/**
 * Books the tokens just drawn and moves the generation on by one column.
 *
 * An unfinished row gets `next` and its log-probability at the state's column, and has finished if that is a
 * stop id, which is kept. A finished row gets `padId` and 0. Updates `state`, `live`, `tokens` and `tokenLogprobs`;
 * overwrites `position`. Rows that are not in `live` keep what they have.
 *
 * @throws {ShapeError} If the sizes differ.
 */
export function decodeAdvance(
  pass: Pass,
  tensors: DecodeTensors,
  { padId }: { padId: number },
): void {
  const { next, logprobs, stopIds, state, live, tokens, tokenLogprobs, position } = tensors;
  const N = next.size;
  expectSize("decodeAdvance", "state", state, 4);
  expectShape("decodeAdvance", "tokenLogprobs", tokenLogprobs, tokens.shape);
  expectSize("decodeAdvance", "logprobs", logprobs, N);
  expectSize("decodeAdvance", "position", position, 1);
  if (live.rowCount !== LIVE.length || live.columnCount < N) {
    throw new ShapeError(
      `Cannot run decodeAdvance: live must have 4 rows of ${N} or more, current shape is ${
        show(live.shape)
      }`,
    );
  }
  pass.dispatch(advance, {
    tensors: { next, logprobs, stopIds, state, live, tokens, tokenLogprobs, position },
    params: {
      N,
      stride: live.columnCount,
      columns: tokens.columnCount,
      stopCount: stopIds.size,
      padId,
    },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [1],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [advance];
