import { rowShards } from "../kernels/embedding.ts";
import { expandHalf, HalfMatrix } from "../kernels/half.ts";
import { matmul } from "../kernels/matmul.ts";
import type { Arena, Pass, Tensor } from "../kernels/runtime/mod.ts";
import type { GradientTarget } from "./gradients.ts";

/** Most bytes of logits that exist at a time, unless one row has more. */
const CHUNK_BYTES = 64 * 2 ** 20;

/** Most bytes of a weight in 16 bits that are expanded at a time, unless 128 rows have more. */
const EXPANDED_BYTES = 16 * 2 ** 20;

/**
 * The language-model head: hidden states (N, C) to logits (N, V), a chunk of rows at a time.
 *
 * The vocabulary is taken in shards where the weight is larger than one binding. Rows of logits are padded
 * to a multiple of 64, so that shards stay aligned, and to an odd one: rows a power of two apart would fall into the
 * same few lines of a cache. The padding is never read.
 */
export class LmHead {
  readonly #stride: number;

  /**
   * @param weight (V, C), usually the token embedding itself; in 16 bits it is expanded shard by shard.
   * @param gradient Gives the weight's gradient (V, C), which {@linkcode backward} adds to; absent where it is not trained.
   */
  constructor(
    readonly arena: Arena,
    readonly weight: Tensor | HalfMatrix,
    readonly gradient?: (() => GradientTarget) | undefined,
  ) {
    this.#stride = (Math.ceil(weight.shape[0] / 64) | 1) * 64;
  }

  /** Splits N rows into chunks of a multiple of 64 rows whose logits fit the memory set aside for them. */
  chunks(N: number): { from: number; to: number }[] {
    const bytes = Math.min(CHUNK_BYTES, this.arena.gpu.bindingBytes);
    const rows = 64 * Math.max(1, Math.floor(bytes / (4 * this.#stride * 64)));
    const chunks = [];
    for (let from = 0; from < N; from += rows) chunks.push({ from, to: Math.min(from + rows, N) });
    return chunks;
  }

  /** The logits (n, V) of a chunk of hidden states (n, C), in the arena's slot `slot`. */
  logits(pass: Pass, hidden: Tensor, slot = "logits"): Tensor {
    const [V] = this.weight.shape;
    const logits = this.arena.take(slot, [hidden.rowCount, this.#stride]).columns(0, V);
    for (const { from, to, b } of this.#parts(pass)) {
      matmul(pass, { a: hidden, b, out: logits.columns(from, to) }, { layout: "nt" });
    }
    return logits;
  }

  /**
   * Backward of {@linkcode logits}: overwrites `dhidden` (n, C), adds to the gradient of the weight if it has one.
   *
   * @param dlogits (n, V), as a loss kernel left it in place of the logits.
   */
  backward(
    pass: Pass,
    { dlogits, hidden, dhidden }: { dlogits: Tensor; hidden: Tensor; dhidden: Tensor },
  ): void {
    const gradient = this.gradient?.();
    for (const { from, to, b } of this.#parts(pass)) {
      const a = dlogits.columns(from, to);
      matmul(pass, { a, b, out: dhidden }, { accumulate: from > 0 });
      if (!gradient) continue;
      const out = gradient.out.rows(from, to);
      matmul(pass, { a, b: hidden, out }, { layout: "tn", accumulate: gradient.accumulate });
    }
  }

  /** Rows that fit a binding. Those beyond a multiple of four are apart, so that products of the others are of whole vectors. */
  *#parts(pass: Pass): Generator<{ from: number; to: number; b: Tensor }> {
    const { weight } = this;
    const shards = weight instanceof HalfMatrix
      ? weight.shards(EXPANDED_BYTES, 4)
      : rowShards(weight, this.arena.gpu.bindingBytes);
    for (const { from, to } of shards) {
      const rows = this.#rows(pass, from, to);
      const whole = to - from - (to - from) % 4;
      if (whole > 0) yield { from, to: from + whole, b: rows.rows(0, whole) };
      if (from + whole < to) yield { from: from + whole, to, b: rows.rows(whole, to - from) };
    }
  }

  /** Rows of the weight in 32 bits; those of one in 16 bits last until the next are asked for. */
  #rows(pass: Pass, from: number, to: number): Tensor {
    const rows = this.weight.rows(from, to);
    if (!(rows instanceof HalfMatrix)) return rows;
    const out = this.arena.take("half.head", rows.shape);
    expandHalf(pass, { x: rows, out });
    return out;
  }
}
