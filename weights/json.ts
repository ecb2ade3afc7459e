/**
 * JSON that says where it is broken. `JSON.parse` often does not, and it lets the last of two
 * equal keys win without a word.
 */

import { JsonError } from "./errors.ts";

/** One JSON token after white space: string, number, word or punctuation (RFC 8259). */
const TOKEN =
  // deno-lint-ignore no-control-regex -- the grammar forbids bare control characters in strings
  /[ \t\n\r]*("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[{}[\],:])/y;

/** What may come next; an open container remembers which of them it is in. */
type Expected = "a value" | "a key" | "a key or }" | "a value or ]" | ":" | ", or }" | ", or ]";

/**
 * Parses JSON, from text or from UTF-8 with or without a byte order mark.
 *
 * @throws {JsonError} If it is not JSON or an object has the same key twice, with the line and
 * column of the first fault; or if the bytes are not UTF-8.
 */
export function parseJson(json: string | Uint8Array): unknown {
  const text = typeof json === "string" ? json : decodeUtf8(json);
  const fault = findFault(text);
  if (fault === undefined) return JSON.parse(text);
  const before = text.slice(0, fault.offset).split("\n");
  const position = { line: before.length, column: before.at(-1)!.length + 1 };
  throw new JsonError(fault.problem, position);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new JsonError("it is not UTF-8 text");
  }
}

/** Walks over `text` token by token, without recursion so that depth costs no stack. */
function findFault(text: string): { offset: number; problem: string } | undefined {
  const open: Set<string>[] = []; // keys seen in each open container; none for an array
  let expected: Expected | "the end" = "a value";
  TOKEN.lastIndex = 0;

  for (;;) {
    const from: number = TOKEN.lastIndex;
    const token: string | undefined = TOKEN.exec(text)?.[1];
    if (token === undefined) {
      const offset = from + text.slice(from).search(/[^ \t\n\r]|$/);
      if (offset < text.length) return { offset, problem: `expected ${expected}` };
      if (expected === "the end") return undefined;
      return { offset, problem: `the text ends where ${expected} should be` };
    }
    const offset: number = TOKEN.lastIndex - token.length;
    const keys: Set<string> | undefined = open.at(-1);

    if (closes(token, expected)) {
      open.pop();
      expected = afterValue(open);
    } else if (expected.startsWith("a key") && token.startsWith('"')) {
      const key: string = JSON.parse(token);
      if (keys!.has(key)) return { offset, problem: `the key ${shorten(token)} appears twice` };
      keys!.add(key);
      expected = ":";
    } else if (expected === ":" && token === ":") {
      expected = "a value";
    } else if (expected.startsWith(", or") && token === ",") {
      expected = keys === ARRAY ? "a value" : "a key";
    } else if (expected.startsWith("a value") && token === "{") {
      open.push(new Set());
      expected = "a key or }";
    } else if (expected.startsWith("a value") && token === "[") {
      open.push(ARRAY);
      expected = "a value or ]";
    } else if (expected.startsWith("a value") && !"}],:".includes(token)) {
      expected = afterValue(open);
    } else {
      return { offset, problem: `expected ${expected}, found ${shorten(token)}` };
    }
  }
}

/** Stands for an open array, which has no keys. */
const ARRAY: Set<string> = new Set();

function closes(token: string, expected: string): boolean {
  return (token === "}" || token === "]") && expected.endsWith(`or ${token}`);
}

function afterValue(open: Set<string>[]): Expected | "the end" {
  if (open.length === 0) return "the end";
  return open.at(-1) === ARRAY ? ", or ]" : ", or }";
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A JSON value for an error message, which one from a stranger must not make long; what is nested is not
 * shown, since writing it out takes stack for each level.
 */
export function showJson(value: unknown): string {
  if (typeof value === "object" && Object.values(value ?? {}).some(isNested)) {
    return Array.isArray(value) ? "a list of lists or objects" : "an object of lists or objects";
  }
  return shorten(JSON.stringify(value) ?? "nothing");
}

function isNested(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/** So many characters of a foreign text are enough to find it. */
const SHOWN = 100;

function shorten(text: string): string {
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN).toWellFormed()}…`;
}
