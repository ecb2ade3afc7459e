/**
 * `model.safetensors.index.json`: which file holds which tensor where weights are in several files.
 *
 * It comes from strangers, so a file is only ever one beside the index, by its bare name.
 */

import { type JsonError, ModelFolderError } from "./errors.ts";
import { isObject, parseJson, showJson } from "./json.ts";

/** A name without a folder, a drive or a step upwards, that ends as safetensors files do. */
const BARE_NAME = /^[^/\\:\0]+\.safetensors$/;

/**
 * Reads an index.
 *
 * Its `metadata` are not read: files in circulation have wrong totals, and the shards know better.
 *
 * @param path Where it comes from, for error messages.
 * @returns The name of the file that holds each tensor.
 * @throws {ModelFolderError} If it is not JSON, is no index, or names a file that is not beside it.
 */
export function parseShardIndex(json: Uint8Array, path: string): Map<string, string> {
  const map = parseWeightMap(json, path);
  for (const [tensor, file] of map) {
    if (typeof file === "string" && BARE_NAME.test(file)) continue;
    const problem = `tensor ${showJson(tensor)} is in ${showJson(file)}`;
    throw unusableIndex(path, `${problem}, which is no name of a safetensors file beside it`);
  }
  return map as Map<string, string>;
}

/** The content of an index, as transformers writes it. */
export function encodeShardIndex(
  fileOf: ReadonlyMap<string, string>,
  totals: { parameters: number; bytes: number },
): string {
  const index = {
    metadata: { total_parameters: totals.parameters, total_size: totals.bytes },
    weight_map: Object.fromEntries([...fileOf].sort(([a], [b]) => a < b ? -1 : 1)),
  };
  return JSON.stringify(index, null, 2) + "\n";
}

/** The error of an index that breaks the format or does not fit its shards. */
export function unusableIndex(path: string, problem: string, cause?: unknown): ModelFolderError {
  const message = `Cannot use ${path}: ${problem}; download or save all files of the model again`;
  return new ModelFolderError(message, { path, cause });
}

function parseWeightMap(json: Uint8Array, path: string): Map<string, unknown> {
  let index: unknown;
  try {
    index = parseJson(json);
  } catch (error) {
    throw unusableIndex(path, (error as JsonError).message, error);
  }
  const map = isObject(index) ? index.weight_map : undefined;
  if (!isObject(map)) throw unusableIndex(path, "it has no object weight_map");
  return new Map(Object.entries(map));
}
