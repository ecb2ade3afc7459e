/**
 * The parts of `tokenizer.json` and `tokenizer_config.json` that this program reads itself, checked: the files come
 * from strangers, and the library that reads the rest trusts them.
 */

import { isObject, parseJson, showJson } from "../weights/json.ts";

/** A tokenizer file is missing, or is not what its name says. */
export class TokenizerError extends SyntaxError {
  /** The name of the class. */
  override name = "TokenizerError";
}

/** A token that text is searched for before it is cut into words. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/** `tokenizer.json`. */
export interface TokenizerJson extends Readonly<Record<string, unknown>> {
  readonly added_tokens: readonly AddedToken[];
}

/** The tokens that `tokenizer_config.json` names and that are read here; BERT has its own names. */
const NAMED_TOKENS = ["bos_token", "eos_token", "cls_token", "sep_token"] as const;

/** `tokenizer_config.json`. */
export interface TokenizerConfig extends Readonly<Record<string, unknown>> {
  /** The spelling of the tokens that it names. */
  readonly named: Readonly<Partial<Record<typeof NAMED_TOKENS[number], string>>>;
}

/** No vocabulary is as large; ids beyond it are those of a broken file. */
const MOST_TOKENS = 2 ** 24;

/**
 * Reads `tokenizer.json`.
 *
 * @param where "the tokenizer in FOLDER", for error messages.
 * @throws {TokenizerError} If it is not JSON, or a part that is read here is broken.
 */
export function parseTokenizerJson(json: Uint8Array, where: string): TokenizerJson {
  const definition = parseObject("tokenizer.json", json, where);
  const added = definition.added_tokens ?? [];
  if (!Array.isArray(added) || !added.every(isAddedToken)) {
    throw broken(where, "tokenizer.json has added_tokens that are not tokens with an id");
  }
  const vocab = isObject(definition.model) ? definition.model.vocab : undefined;
  for (const [token, id] of Object.entries(isObject(vocab) ? vocab : {})) {
    if (isId(id)) continue;
    throw broken(where, `tokenizer.json gives the token ${showJson(token)} the id ${showJson(id)}`);
  }
  if (hasEndlessPart(definition.pre_tokenizer)) {
    throw broken(where, "tokenizer.json cuts text into pieces of no length");
  }
  return { ...definition, added_tokens: added };
}

/**
 * Reads `tokenizer_config.json`; a token in it is its spelling or an object with its `content`.
 *
 * @param json Undefined where there is none.
 * @throws {TokenizerError} If it is not JSON, or it names something that is no token.
 */
export function parseTokenizerConfig(json: Uint8Array | undefined, where: string): TokenizerConfig {
  const config = json === undefined ? {} : parseObject("tokenizer_config.json", json, where);
  const named: Record<string, string> = {};
  for (const key of NAMED_TOKENS) {
    const value = config[key] ?? undefined;
    if (value === undefined) continue;
    const token = isObject(value) ? value.content : value;
    if (typeof token !== "string") {
      throw broken(where, `tokenizer_config.json names ${showJson(value)} as its ${key}`);
    }
    named[key] = token;
  }
  return { ...config, named };
}

/** The error of a tokenizer that cannot be loaded. */
export function broken(where: string, problem: string, cause?: unknown): TokenizerError {
  const message = `Cannot load ${where}: ${problem}; use the files of a model that works`;
  return new TokenizerError(message, { cause });
}

function parseObject(name: string, json: Uint8Array, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(json);
  } catch (cause) {
    throw broken(where, `${name} is not JSON: ${(cause as Error).message}`, cause);
  }
  if (isObject(value)) return value;
  throw broken(where, `${name} is not a JSON object`);
}

function isAddedToken(value: unknown): value is AddedToken {
  return isObject(value) && isId(value.id) && typeof value.content === "string" &&
    value.content !== "";
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < MOST_TOKENS;
}

/** The library would cut pieces of length 0 for ever. */
function hasEndlessPart(preTokenizer: unknown): boolean {
  if (!isObject(preTokenizer)) return false;
  const { type, length, pretokenizers } = preTokenizer;
  if (type === "FixedLength") return !(Number.isInteger(length) && (length as number) > 0);
  return Array.isArray(pretokenizers) && pretokenizers.some(hasEndlessPart);
}
