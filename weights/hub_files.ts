/** Which files of a repository make a model folder, and whether a folder has them. */

import { join } from "node:path";
import { parseShardIndex } from "./shard_index.ts";
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, SHARD_INDEX, WEIGHTS } from "./weights.ts";

export const CONFIG = "config.json";

/** Files beside the weights; a repository has some of them. */
export const SIDE_FILES: readonly string[] = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
];

/** What a tokenizer is made of where there is no `tokenizer.json`: byte-level BPE, or WordPiece. */
export const TOKENIZER_PARTS: readonly string[] = ["vocab.json", "merges.txt", "vocab.txt"];

/** Weights in formats that are not read here, by how common they are. */
export const OTHER_WEIGHTS: readonly string[] = [
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
  "adapter_model.safetensors",
  "tf_model.h5",
  "flax_model.msgpack",
];

/**
 * Whether a folder has what a model cannot do without: configuration, all weights, a tokenizer; or of adapters,
 * which do without a tokenizer, the same.
 *
 * Another program may have fetched the rest of it in part; it is not asked about.
 */
export async function hasModel(folder: string): Promise<boolean> {
  const has = (name: string) => exists(join(folder, name));
  if (!await has(WEIGHTS) && !await has(SHARD_INDEX)) {
    return await has(ADAPTER_CONFIG) && await has(ADAPTER_WEIGHTS);
  }
  if (!await has(CONFIG)) return false;
  const tokenizer = await has("tokenizer.json") || await has("vocab.txt") ||
    await has("vocab.json") && await has("merges.txt");
  if (!tokenizer) return false;
  if (await has(WEIGHTS)) return true;
  const shards = await shardNames(join(folder, SHARD_INDEX));
  return (await Promise.all(shards.map(has))).every(Boolean);
}

/**
 * Names of the files that an index of weights lists, each once.
 *
 * @param name What to call the index in an error (default: its path).
 * @throws {ModelFolderError} If it is no index, or names a file that is not beside it.
 */
export async function shardNames(path: string, name: string = path): Promise<string[]> {
  return [...new Set(parseShardIndex(await Deno.readFile(path), name).values())];
}

/** Whether something is at `path`; a link whose target is gone is nothing. */
export async function exists(path: string): Promise<boolean> {
  return await fileSize(path) !== undefined;
}

/** Bytes of the file at `path`; undefined where there is none. */
export async function fileSize(path: string): Promise<number | undefined> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return undefined;
    throw error;
  }
}
