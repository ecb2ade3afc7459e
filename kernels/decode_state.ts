import common from "./common.wgsl" with { type: "text" };
import source from "./decode_state.wgsl" with { type: "text" };
import {
  expectShape,
  expectSize,
  type Kernel,
  kernel,
  type Pass,
  type Tensor,
} from "./runtime/mod.ts";

/** Word of `state` that counts the rows that have not finished. */
export const ACTIVE = 5;

const advance = kernel({
  label: "decode_advance",
  code: source + common,
  entry: "advance",
  bindings: {
    next: "read",
    logprobs: "read",
    stopIds: "read",
    state: "update",
    tokens: "update",
    tokenLogprobs: "update",
    positions: "update",
    finished: "update",
    current: "write",
    position: "write",
  },
  params: { B: "u32", columns: "u32", stopCount: "u32", padId: "u32" },
});

/** The tensors of {@linkcode decodeAdvance}: B rows, Tmax columns for prompts and what follows them. */
export interface DecodeTensors {
  /** (B) the ids that `sample` drew. */
  next: Tensor<"u32">;
  /** (B) their log-probabilities, nats. */
  logprobs: Tensor;
  /** (S) ids that end a row; 0xffffffff is no id. */
  stopIds: Tensor<"u32">;
  /**
   * (8) where the generation stands: column of the next token in `tokens` (below Tmax), tokens generated so far, seed,
   * step, what is added to a row's index to tell it from the rows of other batches, rows that have not finished; the
   * rest is 0.
   */
  state: Tensor<"u32">;
  /** (B, Tmax) token ids. */
  tokens: Tensor<"u32">;
  /** (B, Tmax) log-probabilities of the generated tokens, nats. */
  tokenLogprobs: Tensor;
  /** (B) position id of the newest token of each row. */
  positions: Tensor<"u32">;
  /** (B) 1 where a stop id has ended the row. */
  finished: Tensor<"u32">;
  /** (B) ids to feed next. */
  current: Tensor<"u32">;
  /** (1) their column in `tokens`, for the attention's cache. */
  position: Tensor<"u32">;
}

/**
 * Books the tokens just drawn and moves the generation on by one column.
 *
 * An unfinished row gets `next` and its log-probability at the state's column, and has finished if that is a
 * stop id, which is kept. A finished row gets `padId` and 0. Updates `state`, `tokens`, `tokenLogprobs`,
 * `positions` and `finished`; overwrites `current` and `position`.
 *
 * @throws {ShapeError} If the sizes differ.
 */
export function decodeAdvance(
  pass: Pass,
  tensors: DecodeTensors,
  { padId }: { padId: number },
): void {
  const { tokens, tokenLogprobs, stopIds, state } = tensors;
  const { next, logprobs, positions, finished, current, position } = tensors;
  const { rowCount: B, columnCount: columns } = tokens;
  expectSize("decodeAdvance", "state", state, 8);
  expectShape("decodeAdvance", "tokenLogprobs", tokenLogprobs, tokens.shape);
  for (
    const [name, tensor] of Object.entries({ next, logprobs, positions, finished, current })
  ) {
    expectSize("decodeAdvance", name, tensor, B);
  }
  expectSize("decodeAdvance", "position", position, 1);
  pass.dispatch(advance, {
    tensors: {
      next,
      logprobs,
      stopIds,
      state,
      tokens,
      tokenLogprobs,
      positions,
      finished,
      current,
      position,
    },
    params: { B, columns, stopCount: stopIds.size, padId },
    constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
    workgroups: [1],
  });
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [advance];
