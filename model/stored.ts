/**
 * Parameters in and out of checkpoints: the one place that knows that a file may name them with a prefix,
 * keep a matrix transposed, or keep apart what is one here.
 */

import { type Gpu, sizeOf, type Tensor } from "../kernels/runtime/mod.ts";
import { ModelFolderError } from "../weights/errors.ts";
import type { ModelFolder } from "../weights/folder.ts";
import { showJson } from "../weights/json.ts";
import type { TensorToWrite } from "../weights/safetensors.ts";
import type { ParameterSpec, ParameterValues, StoredTensor } from "./params.ts";

/** How the files of an architecture name what they hold. */
export interface CheckpointNames {
  /** Stands before the trunk's names, but not in files that hold a trunk alone. */
  prefix: string;
  /** Names that never have it: those of the heads. */
  heads: RegExp;
  /** What a class around the model may put before all of these names. */
  wrapper?: string;
}

/** What {@linkcode readParameters} reads, and where it puts it. */
export interface ReadOptions {
  gpu: Gpu;
  /** Overwritten where `specs` say so. */
  values: ParameterValues;
  /** The parameters to read; all of `values` by default. */
  specs?: readonly ParameterSpec[];
  names: CheckpointNames;
  /** Whether a tensor of the file that is none of `specs` may be left out, by its name unwrapped; by default none may. */
  ignored?: (name: string) => boolean;
  /** What the file should hold, for error messages: "a GPT-2". */
  kind: string;
}

/**
 * Checks that a model folder holds the tensors that its configuration makes, before memory is taken for them: the
 * configuration of a stranger may ask for any amount.
 *
 * @param options.layers Each has tensors of its own.
 * @param options.parameters Not called where there are more layers than tensors.
 * @throws {ModelFolderError} If a tensor is missing or has another shape.
 */
export function expectParameters(
  folder: ModelFolder,
  { layers, parameters, names }: {
    layers: number;
    parameters: () => readonly ParameterSpec[];
    names: CheckpointNames;
  },
): void {
  if (layers > folder.tensors.size) {
    const path = folder.weightsPath;
    throw new ModelFolderError(
      `Cannot load ${path}: it has ${folder.tensors.size} tensors, ${folder.configName} makes ${layers} layers; ` +
        `use the ${folder.configName} that was saved with these weights`,
      { path },
    );
  }
  for (const part of parameters().flatMap(partsOf)) {
    folder.expectTensor(nameIn(folder, part, names), part.shape);
  }
}

/**
 * Overwrites parameters with those of a model folder; every tensor in the file must be accounted for.
 *
 * @throws {ModelFolderError} If a tensor is missing, has the wrong shape, or is not known.
 * @throws {SafetensorsError} If the numbers of one cannot be read.
 */
export async function readParameters(folder: ModelFolder, options: ReadOptions): Promise<void> {
  const { gpu, values, specs = values.layout.specs, names } = options;
  const known = specs.flatMap(partsOf).map((part) => nameIn(folder, part, names));
  expectKnown(folder, new Set(known), options);
  for (const spec of specs) {
    const target = values.get(spec.name);
    if (spec.stored) {
      const parts = [];
      for (const part of spec.stored) {
        parts.push({
          part,
          data: await folder.readTensor(nameIn(folder, part, names), part.shape),
        });
      }
      gpu.write(target, joined(spec, parts));
      gpu.flush();
    } else {
      const [part] = partsOf(spec);
      await upload(gpu, target, folder.readPieces(nameIn(folder, part, names), part.shape));
    }
  }
}

/** Overwrites a tensor with numbers that come in pieces; no more than a piece is on the host at a time. */
async function upload(
  gpu: Gpu,
  target: Tensor,
  pieces: AsyncIterable<Float32Array<ArrayBuffer>>,
): Promise<void> {
  const flat = target.view([target.size]);
  let done = 0;
  for await (const piece of pieces) {
    gpu.write(flat.rows(done, done + piece.length), piece);
    gpu.flush();
    done += piece.length;
  }
}

/** Parameters as a checkpoint has them, in their order; each is read from the GPU when its turn comes. */
export function storedTensors(
  { gpu, values, names }: { gpu: Gpu; values: ParameterValues; names: CheckpointNames },
): TensorToWrite[] {
  return values.layout.specs.flatMap((spec) =>
    partsOf(spec).map((part) => ({
      name: storedName(part, names),
      shape: part.shape,
      data: async () => partOf(spec, part, await gpu.read(values.get(spec.name))),
    }))
  );
}

function partsOf({ name, shape, stored }: ParameterSpec): readonly StoredTensor[] {
  return stored ?? [{ name, shape }];
}

function storedName({ name }: StoredTensor, { prefix, heads }: CheckpointNames): string {
  return heads.test(name) ? name : prefix + name;
}

/** The name of a part in a file, with the prefix of its architecture or without, wrapped or not. */
function nameIn(folder: ModelFolder, part: StoredTensor, names: CheckpointNames): string {
  const full = storedName(part, names);
  const { wrapper = "" } = names;
  const others = [part.name, wrapper + full, wrapper + part.name];
  return [full, ...others].find((name) => folder.tensors.has(name)) ?? full;
}

function expectKnown(
  folder: ModelFolder,
  known: ReadonlySet<string>,
  { ignored = () => false, names: { wrapper = "" }, kind }: ReadOptions,
): void {
  for (const name of folder.tensors.keys()) {
    const bare = name.startsWith(wrapper) ? name.slice(wrapper.length) : name;
    if (known.has(name) || ignored(bare)) continue;
    const path = folder.weightsPath;
    throw new ModelFolderError(
      `Cannot load ${path}: tensor ${showJson(name)} is not part of ${kind}; ` +
        `use the checkpoint of ${kind}`,
      { path },
    );
  }
}

/** The parts of a parameter, one after the other. */
function joined(
  spec: ParameterSpec,
  parts: readonly { part: StoredTensor; data: Float32Array<ArrayBuffer> }[],
): Float32Array<ArrayBuffer> {
  const whole = new Float32Array(sizeOf(spec.shape));
  let start = 0;
  for (const { part, data } of parts) {
    whole.set(part.transposed ? transposed(data, part.shape) : data, start);
    start += data.length;
  }
  return whole;
}

/** One part of a parameter, as the checkpoint has it. */
function partOf(
  { stored = [] }: ParameterSpec,
  part: StoredTensor,
  whole: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  if (stored.length === 0) return whole;
  const before = stored.slice(0, stored.indexOf(part));
  const start = before.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const data = whole.slice(start, start + sizeOf(part.shape));
  return part.transposed ? transposed(data, part.shape.toReversed()) : data;
}

/** A matrix (rows, columns) as (columns, rows). */
function transposed(
  data: Float32Array<ArrayBuffer>,
  [rows, columns]: readonly number[],
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  // By squares, which the processor's cache holds: five times as fast as by rows where a matrix is large.
  for (let top = 0; top < rows; top += SQUARE) {
    const bottom = Math.min(rows, top + SQUARE);
    for (let left = 0; left < columns; left += SQUARE) {
      const right = Math.min(columns, left + SQUARE);
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          out[column * rows + row] = data[row * columns + column];
        }
      }
    }
  }
  return out;
}

const SQUARE = 32;
