/** A local Hugging Face model folder, opened with every obvious fault reported at once. */

import { join } from "node:path";
import { ModelFolderError } from "./errors.ts";
import { parseJson } from "./json.ts";
import { openSafetensors, type SafetensorsFile, type TensorInfo } from "./safetensors.ts";

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const SHARD_INDEX = "model.safetensors.index.json";

/** An open model folder: its configuration, its tensors, its other files. Dispose of it after use. */
export class ModelFolder implements Disposable {
  /** Where the folder is. */
  readonly path: string;
  /** Names of the files in it, sorted. */
  readonly files: readonly string[];
  /** What `config.json` holds; the model checks it. */
  readonly config: unknown;
  readonly #weights: SafetensorsFile;

  /** Takes over `weights`; use {@linkcode openModelFolder}. */
  constructor(
    { path, files, config, weights }: {
      path: string;
      files: readonly string[];
      config: unknown;
      weights: SafetensorsFile;
    },
  ) {
    this.path = path;
    this.files = files;
    this.config = config;
    this.#weights = weights;
  }

  /** Name, dtype and shape of every tensor, in the order of the file. */
  get tensors(): ReadonlyMap<string, TensorInfo> {
    return this.#weights.tensors;
  }

  /**
   * Reads a tensor as 32-bit floats, row-major.
   *
   * @param shape What the configuration says it must be.
   * @throws {ModelFolderError} If there is no such tensor or its shape differs.
   * @throws {SafetensorsError} If its numbers cannot be read.
   */
  async readTensor(name: string, shape: readonly number[]): Promise<Float32Array<ArrayBuffer>> {
    const path = this.#weights.path;
    const info = this.tensors.get(name);
    if (info === undefined) {
      throw new ModelFolderError(
        `Cannot load ${path}: it has no tensor ${JSON.stringify(name)}; ` +
          `use weights saved whole and for the architecture in ${CONFIG}`,
        { path },
      );
    }
    if (info.shape.join() !== shape.join()) {
      throw new ModelFolderError(
        `Cannot load ${path}: tensor ${JSON.stringify(name)} has the shape [${info.shape}], ` +
          `${CONFIG} makes it [${shape}]; use the ${CONFIG} that was saved with these weights`,
        { path },
      );
    }
    return await this.#weights.read(name);
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
    this.#weights.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a model folder with `config.json` and `model.safetensors`.
 *
 * Reads the configuration and the header of the weights, not the weights.
 *
 * @throws {ModelFolderError} If the folder or one of the two files is missing, or `config.json` is
 * not JSON.
 * @throws {SafetensorsError} If the weights break the format.
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const files = await listFiles(path);
  const config = await readModelConfig(path);
  if (!files.includes(WEIGHTS)) throw missingWeights(path, files);
  const weights = await openSafetensors(join(path, WEIGHTS));
  return new ModelFolder({ path, files, config, weights });
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
    return await Deno.readFile(join(folder, name));
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
export async function readModelConfig(folder: string): Promise<unknown> {
  const bytes = await readFile(folder, CONFIG);
  try {
    return parseJson(bytes);
  } catch (error) {
    const path = join(folder, CONFIG);
    const message = `Cannot read ${path}: ${(error as Error).message}; save it again as JSON`;
    throw new ModelFolderError(message, { path, cause: error });
  }
}

function missingWeights(path: string, files: readonly string[]): ModelFolderError {
  if (files.includes(SHARD_INDEX)) {
    const sharded = `its weights are in several files (${SHARD_INDEX}), which is not supported yet`;
    return unopened(path, `${sharded}; save it with a max_shard_size that makes one file`);
  }
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
