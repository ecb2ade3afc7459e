/** A local Hugging Face model folder, opened with every obvious fault reported at once. */

import { join } from "node:path";
import { ModelFolderError } from "./errors.ts";
import { parseJson, showJson } from "./json.ts";
import { readRegularFile } from "./regular_file.ts";
import { openSafetensors, type SafetensorsFile, type TensorInfo } from "./safetensors.ts";
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  openWeights,
  SHARD_INDEX,
  WEIGHTS,
  Weights,
} from "./weights.ts";

/** The file that says what model a folder holds. */
export const CONFIG = "config.json";

/** An open model folder: its configuration, its tensors, its other files. Dispose of it after use. */
export class ModelFolder implements Disposable {
  /** Where the folder is. */
  readonly path: string;
  /** Names of the files in it, sorted. */
  readonly files: readonly string[];
  /** The file that says what the weights are: `config.json`, or in a folder of adapters `adapter_config.json`. */
  readonly configName: string;
  /** What it holds; the model checks it. */
  readonly config: unknown;
  readonly #weights: Weights;

  /** Takes over `weights`; use {@linkcode openModelFolder}. */
  constructor(
    { path, files, configName = CONFIG, config, weights }: {
      path: string;
      files: readonly string[];
      configName?: string;
      config: unknown;
      weights: Weights;
    },
  ) {
    this.path = path;
    this.files = files;
    this.configName = configName;
    this.config = config;
    this.#weights = weights;
  }

  /** The file that lists the tensors: the only one that holds them, or the index of several. */
  get weightsPath(): string {
    return this.#weights.path;
  }

  /** Name, dtype and shape of every tensor, in the order of the files. */
  get tensors(): ReadonlyMap<string, TensorInfo> {
    return this.#weights.tensors;
  }

  /**
   * Checks a tensor without reading it.
   *
   * @throws {ModelFolderError} If there is no such tensor or its shape differs.
   */
  expectTensor(name: string, shape: readonly number[]): void {
    this.#fileOf(name, shape);
  }

  /**
   * Reads a tensor as 32-bit floats, row-major.
   *
   * @param shape What the configuration says it must be.
   * @throws {ModelFolderError} If there is no such tensor or its shape differs.
   * @throws {SafetensorsError} If its numbers cannot be read.
   */
  async readTensor(name: string, shape: readonly number[]): Promise<Float32Array<ArrayBuffer>> {
    return await this.#fileOf(name, shape).read(name);
  }

  /**
   * Reads a tensor in pieces that follow each other, in little memory whatever its size; a piece
   * holds its numbers until the next one is asked for.
   *
   * @throws {Error} As {@linkcode readTensor}.
   */
  readPieces(name: string, shape: readonly number[]): AsyncGenerator<Float32Array<ArrayBuffer>> {
    return this.#fileOf(name, shape).readPieces(name);
  }

  #fileOf(name: string, shape: readonly number[]): SafetensorsFile {
    const file = this.#weights.fileOf(name);
    const stored = file.tensors.get(name)!.shape;
    if (stored.join() === shape.join()) return file;
    throw new ModelFolderError(
      `Cannot load ${file.path}: tensor ${showJson(name)} has the shape ${showJson(stored)}, ` +
        `${this.configName} makes it ${showJson(shape)}; ` +
        `use the ${this.configName} that was saved with these weights`,
      { path: file.path },
    );
  }

  /**
   * Reads a file of the folder, such as `tokenizer.json`.
   *
   * @throws {ModelFolderError} If it is missing.
   */
  readFile(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return readFile(this.path, name);
  }

  /** Closes the weights. */
  close(): void {
    this.#weights[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a model folder with `config.json` and weights in `model.safetensors`, or in the several
 * files that `model.safetensors.index.json` names.
 *
 * Reads the configuration and the headers of the weights, not the weights.
 *
 * @throws {ModelFolderError} If the folder or a file is missing, `config.json` is not JSON, or the
 * index does not fit the files.
 * @throws {SafetensorsError} If the weights break the format.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const files = await listFiles(path);
  const config = await readModelConfig(path);
  const weights = await openWeights(path, files);
  if (weights === undefined) throw missingWeights(path, files);
  return new ModelFolder({ path, files, config, weights });
}

/**
 * Whether a folder holds adapters in place of a whole model: it has no weights of its own. A `config.json` beside
 * them, as some programs write it, does not make them one.
 *
 * @throws {ModelFolderError} If there is no such folder.
 */
export async function holdsAdapters(path: string): Promise<boolean> {
  const files = await listFiles(path);
  if (!files.includes(ADAPTER_CONFIG)) return false;
  return !files.includes(CONFIG) || ![WEIGHTS, SHARD_INDEX].some((name) => files.includes(name));
}

/**
 * Opens a folder of adapters with `adapter_config.json` and `adapter_model.safetensors`, as PEFT writes it.
 *
 * @throws {ModelFolderError} If the folder or a file is missing, or the configuration is not JSON.
 * @throws {SafetensorsError} If the weights break the format.
 */
export async function openAdapterFolder(path: string): Promise<ModelFolder> {
  const files = await listFiles(path);
  const config = await readAdapterConfig(path);
  if (!files.includes(ADAPTER_WEIGHTS)) {
    throw unopened(path, `${ADAPTER_WEIGHTS} is missing; save the adapters as safetensors`);
  }
  const file = join(path, ADAPTER_WEIGHTS);
  const weights = new Weights(file, [await openSafetensors(file)]);
  return new ModelFolder({ path, files, configName: ADAPTER_CONFIG, config, weights });
}

async function listFiles(path: string): Promise<string[]> {
  try {
    const files = [];
    for await (const entry of Deno.readDir(path)) if (!entry.isDirectory) files.push(entry.name);
    return files.sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw unopened(path, "there is no such folder; check the path", error);
    }
    if (error instanceof Deno.errors.NotADirectory) {
      throw unopened(path, `it is a file; give the folder that holds ${CONFIG}`, error);
    }
    throw error;
  }
}

async function readFile(folder: string, name: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readRegularFile(join(folder, name));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw unopened(folder, `${name} is missing; give a folder that save_pretrained wrote`, error);
  }
}

/**
 * What the `config.json` of a model folder holds; the weights need not be there.
 *
 * @throws {ModelFolderError} If it is missing or not JSON.
 */
export function readModelConfig(folder: string): Promise<unknown> {
  return readConfig(folder, CONFIG);
}

/**
 * What the `adapter_config.json` of a folder of adapters holds; the adapters need not be there.
 *
 * @throws {ModelFolderError} If it is missing or not JSON.
 */
export function readAdapterConfig(folder: string): Promise<unknown> {
  return readConfig(folder, ADAPTER_CONFIG);
}

async function readConfig(folder: string, name: string): Promise<unknown> {
  return parseModelConfig(await readFile(folder, name), join(folder, name));
}

/**
 * What a `config.json` says, whatever it describes.
 *
 * @param path Of the file, for the message.
 * @throws {ModelFolderError} If it is not JSON.
 */
export function parseModelConfig(bytes: Uint8Array, path: string): unknown {
  try {
    return parseJson(bytes);
  } catch (error) {
    const message = `Cannot read ${path}: ${(error as Error).message}; save it again as JSON`;
    throw new ModelFolderError(message, { path, cause: error });
  }
}

function missingWeights(path: string, files: readonly string[]): ModelFolderError {
  const pickled = files.find((name) => name.endsWith(".bin"));
  if (pickled !== undefined) {
    const problem = `${WEIGHTS} is missing, and ${pickled} is a format that can run code`;
    return unopened(path, `${problem}; save the model with safe_serialization=True`);
  }
  return unopened(path, `${WEIGHTS} is missing; give a folder that save_pretrained wrote`);
}

function unopened(path: string, problem: string, cause?: unknown): ModelFolderError {
  return new ModelFolderError(`Cannot open the model folder ${path}: ${problem}`, { path, cause });
}
