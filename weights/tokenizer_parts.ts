/** Tokenizers of model folders older than `tokenizer.json`, which keep a vocabulary only. */

import { join } from "node:path";
import { isObject, parseJson, showJson } from "./json.ts";
import { readRegularFile } from "./regular_file.ts";
import { BERT_TOKENS, byteLevelJson, wordPieceJson } from "./tokenizer_json.ts";

/** A file of the parts is not what its name says; the message begins with the file's name. */
export class TokenizerPartsError extends SyntaxError {
  override name = "TokenizerPartsError";
}

/** What is read of `tokenizer_config.json`; everything else in it does not matter here. */
type Config = Readonly<Record<string, unknown>>;

/**
 * The content of `tokenizer.json` for a folder that has its parts: BERT's `vocab.txt`, or GPT-2's `vocab.json` and
 * `merges.txt`; undefined where it has neither.
 *
 * @param config What `tokenizer_config.json` holds; what it is silent about is as in BERT's uncased models.
 * @throws {TokenizerPartsError} If a file is broken.
 *
 * Source: `BertConverter` and `GPT2Converter` of transformers' `convert_slow_tokenizer.py`.
 */
export async function tokenizerFromParts(
  folder: string,
  config: Config,
): Promise<Record<string, unknown> | undefined> {
  const tokens = await readText(folder, "vocab.txt");
  if (tokens !== undefined) return wordPieceFrom(tokens, config);
  const merges = await readText(folder, "merges.txt");
  const vocab = merges === undefined ? undefined : await readJson(folder, "vocab.json");
  if (merges === undefined || vocab === undefined) return undefined;
  const ids = idsOf(vocab, "vocab.json");
  return byteLevelJson({
    vocab: ids,
    merges: mergesOf(merges, ids),
    special: ["<|endoftext|>", ...await specialTokens(folder, config)],
    added: idsOf(await readJson(folder, "added_tokens.json") ?? {}, "added_tokens.json"),
    prefixSpace: config.add_prefix_space === true,
  });
}

function wordPieceFrom(text: string, config: Config): Record<string, unknown> {
  const tokens = linesOf(text);
  for (const token of BERT_TOKENS) {
    if (!tokens.includes(token)) throw new TokenizerPartsError(`vocab.txt has no token ${token}`);
  }
  const lowercase = config.do_lower_case !== false;
  return wordPieceJson(tokens, {
    lowercase,
    stripAccents: typeof config.strip_accents === "boolean" ? config.strip_accents : lowercase,
    splitChinese: config.tokenize_chinese_chars !== false,
  });
}

/** The id of each token. */
function idsOf(vocab: unknown, file: string): Record<string, number> {
  if (!isObject(vocab)) throw new TokenizerPartsError(`${file} is not a JSON object`);
  const taken = new Set<unknown>();
  for (const [token, id] of Object.entries(vocab)) {
    if (Number.isSafeInteger(id) && !taken.has(id)) {
      taken.add(id);
      continue;
    }
    throw new TokenizerPartsError(
      `${file} gives the token ${showJson(token)} the id ${showJson(id)}`,
    );
  }
  return vocab as Record<string, number>;
}

/** The pairs of tokens to join, each of which gives a token of the vocabulary. */
function mergesOf(text: string, ids: Readonly<Record<string, number>>): [string, string][] {
  const merges: [string, string][] = [];
  for (const [index, line] of linesOf(text).entries()) {
    if (line === "" || (index === 0 && line.startsWith("#version"))) continue;
    const pair = line.split(" ");
    if (pair.length !== 2 || !Object.hasOwn(ids, pair.join(""))) {
      const found = `${showJson(line)}, which does not join two tokens of vocab.json to a third`;
      throw new TokenizerPartsError(`merges.txt, line ${index + 1} is ${found}`);
    }
    merges.push(pair as [string, string]);
  }
  return merges;
}

/** Spellings of the tokens that the settings name: bos_token, eos_token, pad_token and others. */
async function specialTokens(folder: string, config: Config): Promise<string[]> {
  const map = await readJson(folder, "special_tokens_map.json");
  return [config, isObject(map) ? map : {}].flatMap((settings) =>
    Object.entries(settings)
      .filter(([key]) => key.endsWith("_token") || key === "additional_special_tokens")
      .flatMap(([, value]) => value)
      .map((token) => isObject(token) ? token.content : token)
      .filter((token) => typeof token === "string")
  );
}

/** The lines of a file, without an empty one at its end. */
function linesOf(text: string): string[] {
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

async function readJson(folder: string, name: string): Promise<unknown> {
  const text = await readText(folder, name);
  if (text === undefined) return undefined;
  try {
    return parseJson(text);
  } catch (cause) {
    throw new TokenizerPartsError(`${name} is broken: ${(cause as Error).message}`, { cause });
  }
}

/** Bytes that are no UTF-8 become U+FFFD, as vocabularies in circulation have them. */
async function readText(folder: string, name: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await readRegularFile(join(folder, name)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
