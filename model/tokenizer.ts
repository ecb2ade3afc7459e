/**
 * Text to token ids and back, for every tokenizer that comes as a `tokenizer.json`.
 *
 * Thin over `@huggingface/tokenizers`, which it keeps from changing text behind the caller's back:
 * special tokens never come out of plain text, and decoding tidies nothing up.
 */

import { Tokenizer } from "@huggingface/tokenizers";
import { ModelFolderError } from "../weights/errors.ts";
import { showJson } from "../weights/json.ts";
import { readRegularFile } from "../weights/regular_file.ts";
import { tokenizerFromParts, TokenizerPartsError } from "../weights/tokenizer_parts.ts";
import { mayHang, regExpsIn } from "./bounded_regexp.ts";
import {
  broken,
  parseTokenizerConfig,
  parseTokenizerJson,
  type TokenizerConfig,
  TokenizerError,
  type TokenizerJson,
} from "./tokenizer_definition.ts";

export { TokenizerError };

/** What starts and ends a text where the configuration does not say, as GPT-2's own and old BERT's do not. */
const USUAL = { bos_token: ["<|endoftext|>", "[CLS]"], eos_token: ["<|endoftext|>", "[SEP]"] };

/** Files of a tokenizer that are kept with it but not needed to encode and decode. */
const KEPT_FILES = ["chat_template.jinja", "special_tokens_map.json"];

/** The content of a tokenizer's files, by name, as they were read. */
export type TokenizerFiles = Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

/** What {@linkcode TextCodec.decode} leaves out. */
export interface DecodeOptions {
  /** Leave out special tokens such as the end of text; by default they are spelled out. */
  skipSpecialTokens?: boolean;
}

/** Turns text into token ids and back. */
export interface TextCodec {
  /**
   * The ids of `text`, empty for empty text; nothing is put before or after it.
   *
   * The spelling of a special token, such as `<|endoftext|>`, is text like any other, so that no
   * prompt can end itself, unless the codec was made to take it for the token. A lone surrogate
   * counts as U+FFFD.
   *
   * @throws {TokenizerError} If the tokenizer has no token for a part of the text.
   */
  encode(text: string): number[];
  /**
   * The text of `ids`, the empty string for none.
   *
   * Bytes that are no UTF-8, such as a character cut in half, become U+FFFD. Ids without a token are
   * left out, as transformers does: where a model has more rows than its tokenizer has tokens, it
   * can sample one.
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** Ends a text; BERT's is [SEP]. */
  readonly eosId: number;
  /** Starts a text; GPT-2 uses the end-of-text token for it, BERT has [CLS]. */
  readonly bosId: number;
  /** How special tokens are spelled, such as `<|endoftext|>`. */
  readonly specialTokens: readonly string[];
  /** The files this was made from, to save next to a model. */
  readonly files: TokenizerFiles;
}

/** How to make a {@linkcode TextCodec}. */
export interface TokenizerOptions {
  /** Take the spelling of a special token for the token, as text from a chat template needs (default false). */
  specialTokens?: boolean | undefined;
  /** Where the files come from, for error messages. */
  folder?: string | undefined;
}

/**
 * Makes a codec from the bytes of `tokenizer.json` and `tokenizer_config.json`.
 *
 * Without a configuration, or where it names none, `<|endoftext|>` starts and ends a text or, where there is
 * no such token, `[CLS]` and `[SEP]` do.
 *
 * @throws {TokenizerError} If a file is broken, or a token that it names is not in the vocabulary.
 */
export function loadTokenizer(
  json: Uint8Array<ArrayBuffer>,
  configJson?: Uint8Array<ArrayBuffer>,
  { specialTokens = false, folder }: TokenizerOptions = {},
): TextCodec {
  const where = folder === undefined ? "the tokenizer" : `the tokenizer in ${folder}`;
  const definition = parseTokenizerJson(json, where);
  const config = parseTokenizerConfig(configJson, where);
  const added = definition.added_tokens;
  const searched = specialTokens ? added : added.filter(({ special }) => !special);
  const decoder = makeTokenizer(definition, config, where);
  // The library looks for added tokens in the text; this one has no special ones to find.
  const encoder = makeTokenizer({ ...definition, added_tokens: searched }, config, where);

  const vocabulary = decoder.get_vocab();
  const special = new Map(added.filter((token) => token.special).map((t) => [t.id, t.content]));
  const idOf = (key: "bos_token" | "eos_token", bertKey: "cls_token" | "sep_token"): number => {
    const usual = USUAL[key].find((token) => vocabulary.has(token)) ?? USUAL[key][0];
    const token = config.named[key] ?? config.named[bertKey] ?? usual;
    const id = vocabulary.get(token);
    if (id !== undefined) return id;
    throw broken(where, `its ${key} ${showJson(token)} is not in the vocabulary`);
  };
  const encode = (text: string): number[] => {
    const ids = attempt(
      () => encoder.encode(text.toWellFormed(), { add_special_tokens: false }).ids,
      `Cannot encode ${showJson(text)} with ${where}`,
    );
    if (ids.every((id) => id !== undefined)) return ids;
    throw new TokenizerError(
      `Cannot encode ${
        showJson(text)
      } with ${where}: it has no token for a part of it; use another model`,
    );
  };

  return {
    vocabSize: 1 + vocabulary.values().reduce((largest, id) => Math.max(largest, id), -1),
    eosId: idOf("eos_token", "sep_token"),
    bosId: idOf("bos_token", "cls_token"),
    specialTokens: [...special.values()],
    files: {
      "tokenizer.json": json,
      ...(configJson && { "tokenizer_config.json": configJson }),
    },
    encode,
    decode(ids, { skipSpecialTokens = false } = {}) {
      const kept = Array.from(ids).filter((id) =>
        decoder.id_to_token(id) !== undefined && !(skipSpecialTokens && special.has(id))
      );
      if (kept.length === 0) return ""; // the library throws here
      return attempt(
        () => decoder.decode(kept, { clean_up_tokenization_spaces: false }),
        `Cannot decode with ${where}`,
      );
    },
  };
}

/**
 * Makes a codec from a model folder's `tokenizer.json`, or from the vocabulary that older folders have in place of
 * it, and its `tokenizer_config.json`, where there is one.
 *
 * @throws {TokenizerError} If there is neither, or as {@linkcode loadTokenizer}.
 * @throws {ModelFolderError} If one of them is no file.
 */
export async function readTokenizer(
  folder: string,
  options: TokenizerOptions = {},
): Promise<TextCodec> {
  const configJson = await readIfPresent(`${folder}/tokenizer_config.json`);
  const json = await readIfPresent(`${folder}/tokenizer.json`) ??
    await makeJson(folder, configJson);
  if (json === undefined) {
    throw new TokenizerError(
      `Cannot load a tokenizer from ${folder}: there is no tokenizer.json in it; ` +
        `save the model with its fast tokenizer`,
    );
  }
  const codec = loadTokenizer(json, configJson, { ...options, folder });
  const files = { ...codec.files };
  for (const name of KEPT_FILES) {
    const content = await readIfPresent(`${folder}/${name}`);
    if (content !== undefined) files[name] = content;
  }
  return { ...codec, files };
}

/** The `tokenizer.json` that a folder with a vocabulary alone would have. */
async function makeJson(
  folder: string,
  configJson: Uint8Array | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const where = `the tokenizer in ${folder}`;
  const config = parseTokenizerConfig(configJson, where);
  try {
    const definition = await tokenizerFromParts(folder, config);
    if (definition === undefined) return undefined;
    return new TextEncoder().encode(JSON.stringify(definition, null, 2) + "\n");
  } catch (cause) {
    if (!(cause instanceof TokenizerPartsError)) throw cause;
    throw broken(where, cause.message, cause);
  }
}

/**
 * Checks that a model has a row for every token of its tokenizer.
 *
 * @param path The folder of both.
 * @throws {ModelFolderError} If it has fewer.
 */
export function expectVocabulary(
  { vocabSize: tokens }: TextCodec,
  { vocabSize: rows }: { vocabSize: number },
  path: string,
): void {
  if (tokens <= rows) return;
  throw new ModelFolderError(
    `Cannot load ${path}: its tokenizer has ${tokens} tokens, the model ${rows}; ` +
      "use the tokenizer that belongs to the model",
    { path },
  );
}

async function readIfPresent(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function makeTokenizer(
  definition: TokenizerJson,
  config: TokenizerConfig,
  where: string,
): Tokenizer {
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(definition, config);
  } catch (cause) {
    throw new TokenizerError(
      `Cannot load ${where}: tokenizer.json describes none that is known; ` +
        `use a model with a tokenizer that the library @huggingface/tokenizers reads`,
      { cause },
    );
  }
  const { normalizer, pre_tokenizer, decoder } = tokenizer;
  for (const pattern of regExpsIn([normalizer, pre_tokenizer, decoder])) {
    if (!mayHang(pattern)) continue;
    throw broken(
      where,
      `tokenizer.json has the regular expression ${showJson(pattern.source)}, which may never end`,
    );
  }
  return tokenizer;
}

/** What the library gives; it finds some faults of a tokenizer only when it is used. */
function attempt<T>(use: () => T, failure: string): T {
  try {
    return use();
  } catch (cause) {
    throw new TokenizerError(`${failure}: tokenizer.json is broken; use another model`, { cause });
  }
}
