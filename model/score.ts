import { gatherRows } from "../kernels/rows.ts";
import type { Arena, Pass, Tensor } from "../kernels/runtime/mod.ts";
import { tokenLogprobsForward } from "../kernels/token_logprobs.ts";
import type { LmHead } from "./lm_head.ts";

/** Scores on the host, (B, T-1), in nats. */
export interface TokenScores {
  /** Of each token that follows another, under the tokens before it. */
  logprobs: number[][];
  /** Of the distribution that the token was one of. */
  entropy: number[][];
}

/** Scores on the GPU, one for each of N places. */
export interface ScoredRows {
  /** (N, C) the hidden states that made them. */
  hidden: Tensor;
  /** (N) token ids that were scored. */
  targets: Tensor<"u32">;
  /** (N) log-probabilities, nats. */
  logprobs: Tensor;
  /** (N) log-sum-exp of the divided logits. */
  lse: Tensor;
  /** (N) entropies, nats. */
  entropy: Tensor;
}

/** What a {@linkcode ScoreHead} scores: N of the (M, C) hidden states, and the token ids that follow them. */
export interface ScoreWork {
  hidden: Tensor;
  places: readonly number[];
  targets: readonly number[];
}

/** Uploads numbers into a slot of `arena`. */
export function upload<D extends "f32" | "u32">(
  arena: Arena,
  slot: string,
  data: ArrayLike<number>,
  dtype: D,
): Tensor<D> {
  const tensor = arena.take(slot, [data.length], dtype);
  arena.gpu.write(tensor, data);
  return tensor;
}

/** Scores chosen tokens from hidden states, with the logits of a chunk of rows in memory at a time. */
export class ScoreHead {
  /** @param prefix Of the slots in `arena` that hold the results, so that two scores can live at once. */
  constructor(readonly arena: Arena, readonly head: LmHead, readonly prefix: string) {}

  /**
   * Records the scores of `targets`, given the hidden states at `places`.
   *
   * @param work.hidden (M, C) hidden states of a batch.
   * @param work.places N rows of `hidden`.
   * @param work.targets N token ids.
   */
  score(pass: Pass, work: ScoreWork & { temperature: number }): ScoredRows {
    const rows = this.begin(pass, work);
    for (const chunk of this.head.chunks(work.places.length)) {
      this.scoreChunk(pass, rows, chunk, work);
    }
    return rows;
  }

  /** Records the gathering of the hidden states; {@linkcode scoreChunk} fills in the scores. */
  begin(pass: Pass, work: ScoreWork): ScoredRows {
    const { arena, prefix } = this;
    const N = work.places.length;
    const index = upload(arena, `${prefix}.places`, work.places, "u32");
    const targets = upload(arena, `${prefix}.targets`, work.targets, "u32");
    const hidden = arena.take(`${prefix}.hidden`, [N, work.hidden.columnCount]);
    gatherRows(pass, { source: work.hidden, index, out: hidden });
    const [logprobs, lse, entropy] = ["logprobs", "lse", "entropy"]
      .map((name) => arena.take(`${prefix}.${name}`, [N]));
    return { hidden, targets, logprobs, lse, entropy };
  }

  /** Records the scores of one of the head's chunks and returns its logits, which the next chunk overwrites. */
  scoreChunk(
    pass: Pass,
    { hidden, targets, logprobs, lse, entropy }: ScoredRows,
    { from, to }: { from: number; to: number },
    { temperature }: { temperature: number },
  ): Tensor {
    const logits = this.head.logits(pass, hidden.rows(from, to));
    tokenLogprobsForward(pass, {
      logits,
      targets: targets.rows(from, to),
      logprobs: logprobs.rows(from, to),
      lse: lse.rows(from, to),
      entropy: entropy.rows(from, to),
    }, { temperature });
    return logits;
  }
}
