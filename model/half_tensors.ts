import { expandHalf, HalfMatrix, shrinkToHalf } from "../kernels/half.ts";
import type { Arena, Gpu, Pass, Tensor } from "../kernels/runtime/mod.ts";
import type { NamedTensors, ParameterSpec } from "./params.ts";

/** How a model that is not trained keeps its matrices: in 32 bits, or in 16. */
export type FrozenDtype = "f32" | "f16";

/**
 * The matrices of a model that is not trained, in 16 bits: half the memory. Everything is computed in 32 bits; a
 * matrix is expanded into scratch memory when its turn comes, which the next one of its kind then takes over.
 */
export class HalfTensors {
  readonly #matrices: ReadonlyMap<string, HalfMatrix>;

  private constructor(matrices: ReadonlyMap<string, HalfMatrix>) {
    this.#matrices = matrices;
  }

  /** Whether a parameter is one that is kept so: a matrix, not a bias or part of a layer norm. */
  static takes({ shape }: ParameterSpec): boolean {
    return shape.length === 2;
  }

  /**
   * Rounds the matrices among some parameters.
   *
   * @param source Has their values.
   */
  static of(gpu: Gpu, source: NamedTensors, specs: readonly ParameterSpec[]): HalfTensors {
    const matrices = new Map<string, HalfMatrix>();
    const pass = gpu.record("halves");
    for (const { name, shape } of specs.filter(HalfTensors.takes)) {
      const matrix = HalfMatrix.empty(gpu, shape, "halves");
      shrinkToHalf(pass, { x: source.get(name), out: matrix });
      matrices.set(name, matrix);
    }
    pass.submit();
    return new HalfTensors(matrices);
  }

  /** What there is. */
  get names(): readonly string[] {
    return [...this.#matrices.keys()];
  }

  /** The memory of all of them. */
  get chunks(): readonly Tensor<"u32">[] {
    return [...this.#matrices.values().map(({ halves }) => halves)];
  }

  /** Whether there is a matrix of that name. */
  has(name: string): boolean {
    return this.#matrices.has(name);
  }

  /** The matrix of that name; shares memory. */
  get(name: string): HalfMatrix {
    const matrix = this.#matrices.get(name);
    if (matrix) return matrix;
    throw new RangeError(`Cannot find parameter ${name}: the model keeps none of that name in f16`);
  }

  /**
   * The matrices in 32 bits, expanded in `pass` when they are asked for. One lasts until another whose name differs
   * in its numbers alone is asked for: layers share their scratch memory.
   */
  expandedIn(pass: Pass, arena: Arena): NamedTensors {
    const held = new Map<string, string>(); // slot -> the matrix that is in it
    return {
      has: (name) => this.has(name),
      get: (name) => {
        const x = this.get(name);
        const slot = `half.${name.replaceAll(/\d+/g, "")}`;
        const out = arena.take(slot, x.shape);
        if (held.get(slot) !== name) expandHalf(pass, { x, out });
        held.set(slot, name);
        return out;
      },
    };
  }

  /** Releases the memory. */
  free(gpu: Gpu): void {
    gpu.free(...this.chunks);
  }
}

/** The error of a model that is to be saved, and has lost the numbers that it was loaded with. */
export function keptInHalves(): TypeError {
  return new TypeError("Cannot save the model: its matrices are kept in f16; load it in f32");
}
