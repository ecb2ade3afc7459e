/**
 * Text to token ids and back, for every tokenizer that comes as a `tokenizer.json`.
 *
 * Thin over `@huggingface/tokenizers`, which it keeps from changing text behind the caller's back:
 * special tokens never come out of plain text, and decoding tidies nothing up.
 */

import { Tokenizer } from "@huggingface/tokenizers";
import { JsonError, ModelFolderError } from "../weights/errors.ts";
import { tokenizerFromParts } from "../weights/tokenizer_parts.ts";

/** What starts and ends a text where the configuration does not say, as GPT-2's own and old BERT's do not. */
const USUAL = { bos_token: ["<|endoftext|>", "[CLS]"], eos_token: ["<|endoftext|>", "[SEP]"] };

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
   * prompt can end itself. A lone surrogate counts as U+FFFD.
   */
  encode(text: string): number[];
  /**
   * The text of `ids`, the empty string for none.
   *
   * Bytes that are no UTF-8, such as a character cut in half, become U+FFFD.
   *
   * @throws {RangeError} If an id is not in the vocabulary.
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** Ends a text; BERT's is [SEP]. */
  readonly eosId: number;
  /** Starts a text; GPT-2 uses the end-of-text token for it, BERT has [CLS]. */
  readonly bosId: number;
  /** The files this was made from, to save next to a model. */
  readonly files: TokenizerFiles;
}

/** A tokenizer file is missing, or is not what its name says. */
export class TokenizerError extends SyntaxError {
  override name = "TokenizerError";
}

/** The parts of `tokenizer.json` that are read here and not by the library. */
interface TokenizerJson {
  added_tokens?: { id: number; content: string; special?: boolean }[];
}

/** The parts of `tokenizer_config.json` that are read here; a token is a string or an object. */
interface TokenizerConfig {
  bos_token?: string | { content: string } | null;
  eos_token?: string | { content: string } | null;
  /** BERT's names of the same two. */
  cls_token?: string | { content: string } | null;
  sep_token?: string | { content: string } | null;
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
): TextCodec {
  const definition: TokenizerJson = parseJson("tokenizer.json", json);
  const config: TokenizerConfig = configJson === undefined
    ? {}
    : parseJson("tokenizer_config.json", configJson);
  const added = definition.added_tokens ?? [];
  const plain = added.filter(({ special }) => !special);
  const decoder = makeTokenizer({ ...definition, added_tokens: added }, config);
  // The library looks for added tokens in the text; this one has no special ones to find.
  const encoder = makeTokenizer({ ...definition, added_tokens: plain }, config);

  const vocabulary = decoder.get_vocab();
  const special = new Set(added.filter((token) => token.special).map(({ id }) => id));
  const idOf = (key: "bos_token" | "eos_token", bertKey: "cls_token" | "sep_token"): number => {
    const usual = USUAL[key].find((token) => vocabulary.has(token)) ?? USUAL[key][0];
    const named = config[key] ?? config[bertKey] ?? usual;
    const token = typeof named === "string" ? named : named.content;
    const id = vocabulary.get(token);
    if (id !== undefined) return id;
    throw new TokenizerError(
      `Cannot load the tokenizer: its ${key} ${JSON.stringify(token)} is not in the vocabulary; ` +
        `name one that is in tokenizer_config.json`,
    );
  };

  return {
    vocabSize: 1 + vocabulary.values().reduce((largest, id) => Math.max(largest, id), -1),
    eosId: idOf("eos_token", "sep_token"),
    bosId: idOf("bos_token", "cls_token"),
    files: {
      "tokenizer.json": json,
      ...(configJson && { "tokenizer_config.json": configJson }),
    },
    encode(text) {
      return encoder.encode(text.toWellFormed(), { add_special_tokens: false }).ids;
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      const unknown = Array.from(ids).find((id) => decoder.id_to_token(id) === undefined);
      if (unknown !== undefined) {
        throw new RangeError(
          `Cannot decode token ${unknown}: it is not in the vocabulary; ` +
            `use the tokenizer that belongs to the model`,
        );
      }
      const kept = Array.from(ids).filter((id) => !(skipSpecialTokens && special.has(id)));
      if (kept.length === 0) return ""; // the library throws here
      return decoder.decode(kept, { clean_up_tokenization_spaces: false });
    },
  };
}

/**
 * Makes a codec from a model folder's `tokenizer.json`, or from the vocabulary that older folders have in place of
 * it, and its `tokenizer_config.json`, where there is one.
 *
 * @throws {TokenizerError} If there is neither, or as {@linkcode loadTokenizer}.
 */
export async function readTokenizer(folder: string): Promise<TextCodec> {
  const configJson = await readIfPresent(`${folder}/tokenizer_config.json`);
  const json = await readIfPresent(`${folder}/tokenizer.json`) ??
    await makeJson(folder, configJson);
  if (json === undefined) {
    throw new TokenizerError(
      `Cannot load a tokenizer from ${folder}: there is no tokenizer.json in it; ` +
        `save the model with its fast tokenizer`,
    );
  }
  return loadTokenizer(json, configJson);
}

/** The `tokenizer.json` that a folder with a vocabulary alone would have. */
async function makeJson(
  folder: string,
  configJson: Uint8Array | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const config = configJson === undefined ? {} : parseJson("tokenizer_config.json", configJson);
  try {
    const definition = await tokenizerFromParts(folder, config as object);
    if (definition === undefined) return undefined;
    return new TextEncoder().encode(JSON.stringify(definition, null, 2) + "\n");
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new TokenizerError(
      `Cannot load a tokenizer from ${folder}: vocab.json is broken: ${cause.message}; ` +
        "get the file again",
      { cause },
    );
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
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function parseJson<T>(name: string, bytes: Uint8Array): T {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new TokenizerError(
      `Cannot load the tokenizer: ${name} is not JSON; get the file again`,
      { cause },
    );
  }
}

function makeTokenizer(definition: TokenizerJson, config: TokenizerConfig): Tokenizer {
  try {
    return new Tokenizer(definition, config);
  } catch (cause) {
    throw new TokenizerError(
      `Cannot load the tokenizer: tokenizer.json describes none that is known; ` +
        `use a model with a tokenizer that the library @huggingface/tokenizers reads`,
      { cause },
    );
  }
}
