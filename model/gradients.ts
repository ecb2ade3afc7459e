import { matmul } from "../kernels/matmul.ts";
import type { Gpu, Pass, Tensor } from "../kernels/runtime/mod.ts";
import { FlatTensors, type ParameterLayout } from "./params.ts";

/** A gradient for one who adds to it if `accumulate` says so, and otherwise overwrites all of it. */
export interface GradientTarget {
  /** Shares memory. */
  out: Tensor;
  /** False where the gradient counts as zeros, but is not. */
  accumulate: boolean;
}

/**
 * The gradients of a {@linkcode ParameterLayout}: backward passes add to them.
 *
 * To overwrite a large matrix with zeros, only to read them when the first product is added, moves as many bytes as the
 * product itself. So {@linkcode clear} only notes that matrices count as zeros, and a product that comes first overwrites.
 * Between `clear` and {@linkcode settle} what is read of a matrix may be old.
 */
export class Gradients extends FlatTensors {
  /** Matrices that count as zeros, whatever is in them. */
  readonly #stale = new Set<string>();

  /** Zeros; the caller frees them. */
  static allocate(gpu: Gpu, layout: ParameterLayout): Gradients {
    return new Gradients(layout, layout.allocate(gpu, "grads").chunks);
  }

  /** Makes all of them zeros: vectors at once, a matrix when something is added to it, or by {@linkcode settle}. */
  clear(pass: Pass): void {
    const { layout } = this; // which has matrices and vectors in chunks of their own
    this.chunks.forEach((chunk, index) => {
      if (!layout.decays(index)) pass.clear(chunk);
    });
    for (const { name } of layout.specs) {
      if (layout.decays(layout.place(name).chunk)) this.#stale.add(name);
    }
  }

  /** Records `name += dout^T x`, the gradient of a linear layer's weight (out, in), of `dout` (N, out) and `x` (N, in). */
  addProduct(pass: Pass, name: string, { dout, x }: { dout: Tensor; x: Tensor }): void {
    const { out, accumulate } = this.target(name);
    matmul(pass, { a: dout, b: x, out }, { layout: "tn", accumulate });
  }

  /** The gradient of `name` for one who will overwrite it or add to it, as is said: it no longer counts as zeros. */
  target(name: string): GradientTarget {
    return { out: this.get(name), accumulate: !this.#stale.delete(name) };
  }

  /** The gradient of `name` for one who can only add to it. */
  accumulator(pass: Pass, name: string): Tensor {
    const { out, accumulate } = this.target(name);
    if (!accumulate) pass.clear(out);
    return out;
  }

  /** Overwrites matrices to which nothing was added with zeros; all may be read until the next {@linkcode clear}. */
  settle(pass: Pass): void {
    for (const name of this.#stale) this.accumulator(pass, name);
  }
}
