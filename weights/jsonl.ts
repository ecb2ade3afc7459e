import { JsonError } from "./errors.ts";
import { parseJson } from "./json.ts";

/** A file of JSON lines that cannot be used. */
export class JsonLinesError extends SyntaxError {
  /** The name of the class. */
  override name = "JsonLinesError";
  /** Path of the file. */
  readonly file: string;
  /** Counted from 1, where it is one line's fault. */
  readonly line: number | undefined;

  /** Says file and line before the problem. */
  constructor(problem: string, at: { file: string; line?: number; cause?: unknown }) {
    const place = at.line === undefined ? at.file : `${at.file}, line ${at.line}`;
    super(`Cannot use ${place}: ${problem}`, { cause: at.cause });
    this.file = at.file;
    this.line = at.line;
  }
}

/** One record of a file of JSON lines. */
export interface JsonLine {
  record: Record<string, unknown>;
  /** Where it stands, counted from 1. */
  line: number;
}

/**
 * Reads a file of one JSON object a line; blank lines are skipped.
 *
 * @throws {JsonLinesError} If there is no such file, it is not UTF-8, or a line is not a JSON object; with the
 * number of the line and the reason.
 */
export async function readJsonLines(file: string): Promise<JsonLine[]> {
  return (await readUtf8(file)).split("\n").flatMap((text, index) =>
    text.trim() === ""
      ? []
      : [{ record: parseRecord(text, { file, line: index + 1 }), line: index + 1 }]
  );
}

async function readUtf8(file: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(file));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new JsonLinesError("there is no such file; check the path", { file, cause });
    }
    if (cause instanceof TypeError) {
      throw new JsonLinesError("it is not UTF-8 text; save it as UTF-8", { file, cause });
    }
    throw cause;
  }
}

function parseRecord(text: string, at: { file: string; line: number }): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    const problem = cause.message.replace("line 1, ", ""); // of the one line that was parsed
    throw new JsonLinesError(`${problem}; write one JSON object a line`, { ...at, cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new JsonLinesError("it is not a JSON object; write one a line", at);
}
