/** Which files of a repository make a model folder, and whether a folder has them. */

import { join } from "node:path";
import { parseJson } from "./json.ts";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";
export const SHARD_INDEX = "model.safetensors.index.json";

/** Files beside the weights; a repository has some of them. */
export const SIDE_FILES: readonly string[] = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
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
 * Names of the files that an index of sharded weights lists, each once.
 *
 * @throws {SyntaxError} If it is no such index, or a name leads out of the folder: it comes from strangers.
 */
export function shardNames(index: Uint8Array): string[] {
  const { weight_map: map } = Object(parseJson(index)) as { weight_map?: unknown };
  const names = typeof map === "object" && map !== null ? [...new Set(Object.values(map))] : [];
  const wrong = names.find((name) =>
    typeof name !== "string" || !/^\w[\w.-]*\.safetensors$/.test(name)
  );
  if (wrong !== undefined) {
    throw new SyntaxError(`it names the file ${JSON.stringify(wrong)}, which cannot be a shard`);
  }
  if (names.length === 0) throw new SyntaxError("it lists no files");
  return names;
}

/**
 * Whether a folder has what a model cannot do without: configuration, all weights, a tokenizer.
 *
 * Another program may have fetched the rest of it in part; it is not asked about.
 */
export async function hasModel(folder: string): Promise<boolean> {
  const has = (name: string) => exists(join(folder, name));
  if (!await has(CONFIG)) return false;
  const tokenizer = await has("tokenizer.json") || await has("vocab.txt") ||
    await has("vocab.json") && await has("merges.txt");
  if (!tokenizer) return false;
  if (await has(WEIGHTS)) return true;
  if (!await has(SHARD_INDEX)) return false;
  const shards = shardNames(await Deno.readFile(join(folder, SHARD_INDEX)));
  return (await Promise.all(shards.map(has))).every(Boolean);
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
