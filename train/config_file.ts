/** Config files: settings from TOML, YAML or JSON, with the line each stands on. */

import { extname } from "node:path";
import { parse as parseToml, TomlError } from "smol-toml";
import { LineCounter, parseDocument } from "yaml";
import { JsonError } from "../weights/errors.ts";
import { parseJson } from "../weights/json.ts";
import { ConfigError } from "./config.ts";
import { isSystemError, systemProblem } from "./system_error.ts";

/** What a config file says, not yet checked against the settings. */
export interface ConfigFile {
  /** Path of the file. */
  readonly path: string;
  /** Its settings, in their order there. */
  readonly entries: readonly ConfigEntry[];
}

/** One setting of a config file. */
export interface ConfigEntry {
  /** As it is spelled there. */
  readonly key: string;
  /** As the file has it. */
  readonly value: unknown;
  /** Counted from 1, where it could be found. */
  readonly line: number | undefined;
}

const PARSERS: Record<string, (text: string) => unknown> = {
  ".toml": parseToml,
  ".yaml": parseYaml,
  ".yml": parseYaml,
  ".json": parseJson,
};

/**
 * Reads a config file; its name's ending says whether it is TOML, YAML or JSON.
 *
 * @throws {ConfigError} If it is missing, of another type, or broken, with line and column.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (cause) {
    const isMissing = path === "" || cause instanceof Deno.errors.NotFound;
    if (!isMissing && !isSystemError(cause)) throw cause;
    const problem = isMissing ? "there is none" : systemProblem(cause as Error);
    throw new ConfigError(`Cannot read the config file ${path}: ${problem}; check the path`, {
      cause,
    });
  }
  return parseConfigFile(bytes, path);
}

/**
 * Parses a config file that is already in memory.
 *
 * @throws {ConfigError} As {@linkcode readConfigFile}.
 */
export function parseConfigFile(bytes: Uint8Array, path: string): ConfigFile {
  const fail = (problem: string, remedy: string, cause?: unknown) =>
    new ConfigError(`Cannot read the config file ${path}: ${problem}; ${remedy}`, { cause });

  const parse = PARSERS[extname(path).toLowerCase()];
  if (parse === undefined) {
    throw fail("its type is not known", "use a name that ends in .toml, .yaml or .json");
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw fail("it is not UTF-8 text", "save it as UTF-8", error);
  }
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw fail(describeFault(error), "correct it there", error);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw fail("it is not a list of settings with values", "write one setting a line");
  }
  const entries = Object.entries(content)
    .map(([key, value]) => ({ key, value, line: lineOf(key, text) }));
  return { path, entries };
}

/** Most characters of another's message, which may quote a stranger's text. */
const MESSAGE_LENGTH = 300;

/** A fault of a YAML file, with its place. */
class YamlError extends SyntaxError {}

function parseYaml(text: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    throw new YamlError(`line ${line}, column ${col}: ${error.message.slice(0, MESSAGE_LENGTH)}`);
  }
  try {
    return document.toJS() ?? {}; // an empty file has no settings
  } catch (cause) { // aliases of nothing, or of so much that it would fill the memory; or it is too deep
    const problem = (cause as Error).message.slice(0, MESSAGE_LENGTH);
    throw new YamlError(problem, { cause });
  }
}

function describeFault(error: unknown): string {
  if (error instanceof JsonError || error instanceof YamlError) return error.message;
  if (error instanceof TomlError) {
    const [problem] = error.message.replace("Invalid TOML document: ", "").split("\n");
    return `line ${error.line}, column ${error.column}: ${problem}`;
  }
  throw error;
}

/** The first line on which `key` is given a value, in any of the formats. */
function lineOf(key: string, text: string): number | undefined {
  if (key.length > 60) return undefined; // no setting's name, and maybe too long for a pattern
  const name = RegExp.escape(key);
  const index = text.search(new RegExp(`(^|[{,])[ \\t]*(["']?)${name}\\2[ \\t]*[:=]`, "m"));
  return index < 0 ? undefined : text.slice(0, index).split("\n").length;
}
