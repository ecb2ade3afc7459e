/** Tokenizers of model folders older than `tokenizer.json`, which keep a vocabulary only. */

import { join } from "node:path";
import { parseJson } from "./json.ts";
import { byteLevelJson, wordPieceJson } from "./tokenizer_json.ts";

/** What `tokenizer_config.json` says of BERT's text. */
interface BertTokenizerConfig {
  do_lower_case?: boolean;
  strip_accents?: boolean | null;
  tokenize_chinese_chars?: boolean;
}

/**
 * The content of `tokenizer.json` for a folder that has its parts: BERT's `vocab.txt`, or GPT-2's `vocab.json` and
 * `merges.txt`; undefined where it has neither.
 *
 * @param config What `tokenizer_config.json` holds; what it is silent about is as in BERT's uncased models.
 * @throws {JsonError} If `vocab.json` is not JSON.
 *
 * Source: `BertConverter` and `GPT2Converter` of transformers' `convert_slow_tokenizer.py`.
 */
export async function tokenizerFromParts(
  folder: string,
  config: BertTokenizerConfig,
): Promise<Record<string, unknown> | undefined> {
  const [tokens, vocab, merges] = await Promise.all(
    ["vocab.txt", "vocab.json", "merges.txt"].map((name) => readIfPresent(join(folder, name))),
  );
  if (tokens !== undefined) {
    const lowercase = config.do_lower_case ?? true;
    return wordPieceJson(linesOf(tokens), {
      lowercase,
      stripAccents: config.strip_accents ?? lowercase,
      splitChinese: config.tokenize_chinese_chars ?? true,
    });
  }
  if (vocab === undefined || merges === undefined) return undefined;
  return byteLevelJson({
    vocab: parseJson(vocab) as Record<string, number>,
    merges: linesOf(merges).filter((line) => line !== "" && !line.startsWith("#version"))
      .map((line) => line.split(" ") as [string, string]),
    special: ["<|endoftext|>"],
  });
}

/** The lines of a file, without an empty one at its end. */
function linesOf(text: string): string[] {
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
