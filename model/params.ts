import { type Gpu, sizeOf, Tensor } from "../kernels/runtime/mod.ts";

/** Name and shape of one parameter tensor. The weight of a linear layer is (out, in), as in torch's nn.Linear. */
export interface ParameterSpec {
  /** In the checkpoint, without the prefix of its architecture. */
  name: string;
  /** Lengths of the axes. */
  shape: readonly number[];
  /**
   * How it lies in a checkpoint: one tensor of the same name and shape, if absent; several lie one after the other
   * along the first axis here, as queries, keys and values do in (3C, C).
   */
  stored?: readonly StoredTensor[];
}

/** A tensor of a checkpoint that holds a parameter or a part of one. */
export interface StoredTensor {
  /** In the checkpoint, without the prefix of its architecture. */
  name: string;
  /** In the checkpoint. */
  shape: readonly number[];
  /** A matrix that the checkpoint keeps the other way round, as GPT-2's Conv1D does: (in, out). */
  transposed?: boolean;
}

/**
 * Weight and bias of a linear layer.
 *
 * @param sizes.parts The layers of the checkpoint, equally wide, that are one here; itself by default.
 * @param sizes.conv1d Whether the checkpoint keeps the weight as GPT-2's Conv1D does, (in, out); by default as here.
 */
export function linearParameters(
  name: string,
  { inputs, outputs, parts = [name], conv1d = false }: {
    inputs: number;
    outputs: number;
    parts?: readonly string[];
    conv1d?: boolean;
  },
): ParameterSpec[] {
  const width = outputs / parts.length;
  const weight = { name: `${name}.weight`, shape: [outputs, inputs] };
  const bias = { name: `${name}.bias`, shape: [outputs] };
  if (!conv1d && parts.length === 1 && parts[0] === name) return [weight, bias];
  const shape = conv1d ? [inputs, width] : [width, inputs];
  const storedAs = (part: string) => ({ name: `${part}.weight`, shape, transposed: conv1d });
  return [
    { ...weight, stored: parts.map(storedAs) },
    { ...bias, stored: parts.map((part) => ({ name: `${part}.bias`, shape: [width] })) },
  ];
}

/** A piece of the flat parameters that one binding can cover, for kernels that treat all alike. */
export interface FlatRange {
  /** Flat, a multiple of 64 elements. */
  tensor: Tensor;
  /** Whether weight decay applies: matrices and embeddings, not biases and layer norms. */
  decay: boolean;
}

interface Place {
  chunk: number;
  /** In elements, a multiple of 64 (256 bytes). */
  offset: number;
  shape: readonly number[];
}

/**
 * Where every parameter of a model lies in flat memory.
 *
 * Tensors are packed one after the other, aligned to 256 bytes, into chunks that one binding can cover; a
 * tensor larger than that has a chunk of its own. Values, gradients and both Adam moments use the same
 * layout, so that norm, update and checkpoint are a few operations on large ranges.
 */
export class ParameterLayout {
  readonly #places = new Map<string, Place>();
  readonly #chunks: { size: number; decay: boolean }[] = [];

  /**
   * Lays out the parameters: first those with weight decay, then the others.
   *
   * @param bindingBytes Most bytes that one binding may cover.
   */
  constructor(readonly specs: readonly ParameterSpec[], readonly bindingBytes: number) {
    for (const decay of [true, false]) {
      let chunk = -1;
      for (const { name, shape } of specs) {
        if (shape.length > 1 !== decay) continue;
        const size = Math.ceil(sizeOf(shape) / 64) * 64;
        if (chunk < 0 || 4 * (this.#chunks[chunk].size + size) > bindingBytes) {
          chunk = this.#chunks.push({ size: 0, decay }) - 1;
        }
        this.#places.set(name, { chunk, offset: this.#chunks[chunk].size, shape });
        this.#chunks[chunk].size += size;
      }
    }
  }

  /** Number of scalars, padding not counted. */
  get count(): number {
    return this.specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  }

  /** One zeroed copy of the whole layout. */
  allocate(gpu: Gpu, label: string): FlatTensors {
    const chunks = this.#chunks.map(({ size }) => gpu.empty([size], "f32", label));
    return new FlatTensors(this, chunks);
  }

  /** Whether there is a parameter of that name. */
  has(name: string): boolean {
    return this.#places.has(name);
  }

  /**
   * Where `name` lies.
   *
   * @internal
   */
  place(name: string): Place {
    const place = this.#places.get(name);
    if (!place) {
      throw new RangeError(`Cannot find parameter ${name}: the model has none of that name`);
    }
    return place;
  }

  /** Whether weight decay applies to a chunk. */
  decays(chunk: number): boolean {
    return this.#chunks[chunk].decay;
  }
}

/** Tensors by the names of parameters. */
export interface NamedTensors {
  /** Whether there is a tensor of that name. */
  has(name: string): boolean;
  /** The tensor of that name; shares memory. */
  get(name: string): Tensor;
}

/** The tensors of both; where they share a name, those of the first. */
export function eitherOf(first: NamedTensors, second: NamedTensors): NamedTensors {
  return {
    has: (name) => first.has(name) || second.has(name),
    get: (name) => (first.has(name) ? first : second).get(name),
  };
}

/** Parameters and their tensors, as files are read and written: those of one layout, or of several together. */
export interface ParameterValues {
  /** Names and shapes. */
  readonly layout: { readonly specs: readonly ParameterSpec[] };
  /** The tensor of that name; shares memory. */
  get(name: string): Tensor;
}

/** The parameters of one or several flat memories as one. */
export class JoinedTensors implements NamedTensors, ParameterValues {
  /** Names and shapes, and the number of scalars. */
  readonly layout: { readonly specs: readonly ParameterSpec[]; readonly count: number };

  /** Joins memories, of which the first that has a name counts. */
  constructor(readonly parts: readonly FlatTensors[]) {
    this.layout = {
      specs: parts.flatMap(({ layout }) => layout.specs),
      count: parts.reduce((sum, { layout }) => sum + layout.count, 0),
    };
  }

  /** The memory of all of them. */
  get chunks(): readonly Tensor[] {
    return this.parts.flatMap(({ chunks }) => chunks);
  }

  /** Whether there is a tensor of that name. */
  has(name: string): boolean {
    return this.parts.some((part) => part.has(name));
  }

  /** The tensor of that name; shares memory. */
  get(name: string): Tensor {
    const part = this.parts.find((part) => part.has(name)) ?? this.parts[0];
    return part.get(name);
  }
}

/** Flat memory in a {@linkcode ParameterLayout}: the values, a moment, or `Gradients`. */
export class FlatTensors implements NamedTensors, ParameterValues {
  /** Memory that is there already; {@linkcode ParameterLayout.allocate} makes some. */
  constructor(readonly layout: ParameterLayout, readonly chunks: readonly Tensor[]) {}

  /** Whether there is a tensor of that name. */
  has(name: string): boolean {
    return this.layout.has(name);
  }

  /** The tensor of that name; shares memory. */
  get(name: string): Tensor {
    const { chunk, offset, shape } = this.layout.place(name);
    return new Tensor(this.chunks[chunk].storage, 4 * offset, shape, "f32");
  }

  /** Everything, in pieces that one binding can cover. */
  ranges(): FlatRange[] {
    const most = Math.floor(this.layout.bindingBytes / 256) * 64;
    return this.chunks.flatMap((chunk, index) => {
      const ranges: FlatRange[] = [];
      for (let from = 0; from < chunk.size; from += most) {
        const tensor = chunk.rows(from, Math.min(from + most, chunk.size));
        ranges.push({ tensor, decay: this.layout.decays(index) });
      }
      return ranges;
    });
  }

  /** Releases the memory. */
  free(gpu: Gpu): void {
    gpu.free(...this.chunks);
  }
}
