/** The weights of a model folder: one safetensors file, or several behind an index. */

import { join } from "node:path";
import { writeFileAtomic } from "./atomic.ts";
import { ModelFolderError } from "./errors.ts";
import type { FloatType } from "./floats.ts";
import { showJson } from "./json.ts";
import { readRegularFile } from "./regular_file.ts";
import {
  openSafetensors,
  type SafetensorsFile,
  type TensorInfo,
  type TensorToWrite,
  writeSafetensors,
} from "./safetensors.ts";
import { DTYPE_BYTES } from "./safetensors_header.ts";
import { encodeShardIndex, parseShardIndex, unusableIndex } from "./shard_index.ts";

/** The file of weights that are in one file; where it is there, an index is not looked at. */
export const WEIGHTS = "model.safetensors";

/** The file that says where weights are that are in several. */
export const SHARD_INDEX = "model.safetensors.index.json";

/** The weights of adapters, and what says that a folder holds adapters and of what kind. */
export const ADAPTER_WEIGHTS = "adapter_model.safetensors";
export const ADAPTER_CONFIG = "adapter_config.json";

/** Names of files that say what model a folder holds: none may outlast the model. */
export const MODEL_FILE =
  /^(model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|adapter_model\.safetensors|(adapter_)?config\.json)$/;

/** The open weights of a model. Dispose of them after use. */
export class Weights implements Disposable {
  /** Name, dtype and shape of every tensor, in the order of the files. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #files: ReadonlyMap<string, SafetensorsFile>;

  /**
   * Takes over the files; use {@linkcode openWeights}.
   *
   * @param path The file that lists the tensors: the only one, or the index.
   */
  constructor(readonly path: string, files: readonly SafetensorsFile[]) {
    this.tensors = new Map(files.flatMap((file) => [...file.tensors]));
    this.#files = new Map(
      files.flatMap((file) => Array.from(file.tensors.keys(), (name) => [name, file])),
    );
  }

  /**
   * The file that holds a tensor.
   *
   * @throws {ModelFolderError} If there is no such tensor.
   */
  fileOf(name: string): SafetensorsFile {
    const file = this.#files.get(name);
    if (file !== undefined) return file;
    throw new ModelFolderError(
      `Cannot load ${this.path}: it has no tensor ${showJson(name)}; ` +
        "use weights saved whole and for the architecture in config.json",
      { path: this.path },
    );
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    for (const file of new Set(this.#files.values())) file.close();
  }
}

/**
 * Opens the weights of a model folder, and reads their headers.
 *
 * @param files Names of the files in the folder.
 * @returns Undefined where the folder has none.
 * @throws {ModelFolderError} If an index breaks its format or does not fit its shards.
 * @throws {SafetensorsError} If a file of weights breaks the format.
 */
export async function openWeights(
  folder: string,
  files: readonly string[],
): Promise<Weights | undefined> {
  if (files.includes(WEIGHTS)) {
    const path = join(folder, WEIGHTS);
    return new Weights(path, [await openSafetensors(path)]);
  }
  return files.includes(SHARD_INDEX) ? await openShards(folder, files) : undefined;
}

async function openShards(folder: string, files: readonly string[]): Promise<Weights> {
  const path = join(folder, SHARD_INDEX);
  const indexed = parseShardIndex(await readRegularFile(path), path);
  for (const [tensor, name] of indexed) {
    if (files.includes(name)) continue;
    throw unusableIndex(path, `tensor ${showJson(tensor)} is in ${name}, which is missing`);
  }
  using opened = new DisposableStack();
  const shards: SafetensorsFile[] = [];
  for (const name of new Set(indexed.values())) {
    const shard = opened.use(await openSafetensors(join(folder, name)));
    expectIndexed(shard, { name, indexed, path });
    shards.push(shard);
  }
  opened.move(); // to the weights
  return new Weights(path, shards);
}

/** Checks that a shard holds the tensors that the index says it does, and no others. */
function expectIndexed(
  shard: SafetensorsFile,
  { name, indexed, path }: { name: string; indexed: ReadonlyMap<string, string>; path: string },
): void {
  for (const [tensor, file] of indexed) {
    if (file !== name || shard.tensors.has(tensor)) continue;
    throw unusableIndex(path, `tensor ${showJson(tensor)} is not in ${name}, as it says`);
  }
  for (const tensor of shard.tensors.keys()) {
    const file = indexed.get(tensor);
    if (file === name) continue;
    const says = file === undefined ? "which it does not say" : `and it says ${file}`;
    throw unusableIndex(path, `tensor ${showJson(tensor)} is in ${name}, ${says}`);
  }
}

/** How the weights of a model are written. */
export interface WriteWeightsOptions {
  /** How numbers are stored (default F32). */
  readonly dtype?: FloatType | undefined;
  /** Most bytes of numbers in one file; a larger tensor has a file of its own (default 50e9). */
  readonly maxShardBytes?: number | undefined;
}

/**
 * Writes the weights of a model into an empty folder, in one file or in several with an index, as
 * transformers does: tensors go into shards in the order given, and are in them by name.
 *
 * @throws {SafetensorsError} As {@linkcode writeSafetensors}.
 */
export async function writeWeights(
  folder: string,
  tensors: readonly TensorToWrite[],
  { dtype = "F32", maxShardBytes = 50e9 }: WriteWeightsOptions = {},
): Promise<void> {
  const bytesOf = ({ shape }: TensorToWrite) =>
    shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
  const shards = splitIntoShards(tensors, bytesOf, maxShardBytes);
  const fileOf = new Map<string, string>();
  for (const [at, shard] of shards.entries()) {
    const file = shards.length === 1 ? WEIGHTS : shardName(at + 1, shards.length);
    await writeSafetensors(join(folder, file), shard.toSorted(byName), { dtype });
    for (const { name } of shard) fileOf.set(name, file);
  }
  if (shards.length === 1) return;
  const bytes = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const index = encodeShardIndex(fileOf, { parameters: bytes / DTYPE_BYTES[dtype], bytes });
  await writeFileAtomic(join(folder, SHARD_INDEX), index);
}

/** Fills one shard after the other, each up to the limit; a tensor beyond it is a shard by itself. */
function splitIntoShards(
  tensors: readonly TensorToWrite[],
  bytesOf: (tensor: TensorToWrite) => number,
  maxShardBytes: number,
): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [];
  let shard: TensorToWrite[] = [];
  let filled = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    if (bytes > maxShardBytes) {
      shards.push([tensor]);
      continue;
    }
    if (filled + bytes > maxShardBytes) {
      shards.push(shard);
      shard = [];
      filled = 0;
    }
    shard.push(tensor);
    filled += bytes;
  }
  if (shard.length > 0) shards.push(shard);
  return shards;
}

function shardName(number: number, count: number): string {
  const digits = (n: number) => String(n).padStart(5, "0");
  return `model-${digits(number)}-of-${digits(count)}.safetensors`;
}

function byName(a: TensorToWrite, b: TensorToWrite): number {
  return a.name < b.name ? -1 : 1;
}
