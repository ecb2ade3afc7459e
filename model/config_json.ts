/** `config.json` in and out, whatever the architecture; every fault is named. */

import { showJson } from "../weights/json.ts";

/** A `config.json` that does not describe a model this program has. */
export class ModelConfigError extends RangeError {
  /** The name of the class. */
  override name = "ModelConfigError";
  /** The file it comes from. */
  readonly source: string;

  /** An error of the file `source`. */
  constructor(message: string, source: string) {
    super(message);
    this.source = source;
  }
}

/** No model that this program is for has as many; each takes memory before there is anything to compare it with. */
const MOST_LAYERS = 1024;

/** Reads one value after the other from a parsed `config.json`. */
export class ConfigReader {
  readonly json: Readonly<Record<string, unknown>>;
  readonly #source: string;

  constructor(json: unknown, source: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      const problem = "it is not a JSON object; use the file that save_pretrained wrote";
      throw new ModelConfigError(`Cannot use ${source}: ${problem}`, source);
    }
    this.json = json as Record<string, unknown>;
    this.#source = source;
  }

  /** "Cannot use config.json: n_head is 0, it must be <allowed>". */
  error(key: string, allowed: string): ModelConfigError {
    const value = this.json[key];
    const found = value === undefined ? "missing" : showJson(value);
    const message = `Cannot use ${this.#source}: ${key} is ${found}, it must be ${allowed}`;
    return new ModelConfigError(message, this.#source);
  }

  /** Throws unless `model_type` and one of `architectures` are these. */
  architecture({ type, names }: { type: string; names: readonly string[] }): void {
    const { model_type: found, architectures } = this.json;
    if (found !== type) {
      throw this.error("model_type", `${JSON.stringify(type)}; use a model of that architecture`);
    }
    const listed = Array.isArray(architectures) ? architectures : [architectures ?? names[0]];
    if (!listed.some((name) => names.includes(name))) {
      throw this.error("architectures", `${names.join(" or ")}; use a model of that class`);
    }
  }

  /** Throws if a switch that changes the result has another value than the one that is supported. */
  fixed(options: Readonly<Record<string, boolean>>): void {
    for (const [key, supported] of Object.entries(options)) {
      if (this.boolean(key, supported) !== supported) {
        throw this.error(key, `${supported}; the other way is not supported`);
      }
    }
  }

  positiveInteger(key: string, fallback?: number): number {
    const value = this.json[key] ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
    throw this.error(key, "a whole number above 0; use the file that was saved with the weights");
  }

  /** How many layers there are, from 1 to {@linkcode MOST_LAYERS}. */
  layers(key: string): number {
    const layers = this.positiveInteger(key);
    if (layers <= MOST_LAYERS) return layers;
    throw this.error(key, `at most ${MOST_LAYERS}; use the file that was saved with the weights`);
  }

  positiveNumber(key: string, fallback: number): number {
    const value = this.json[key] ?? fallback;
    if (Number.isFinite(value) && (value as number) > 0) return value as number;
    throw this.error(key, "a number above 0; correct it");
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.json[key] ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.error(key, "true or false; correct it");
  }

  /** A token id or null; where the key is missing, `otherwise`, if the vocabulary has it. */
  tokenId(key: string, vocabSize: number, otherwise: number): number | null {
    const fallback = otherwise < vocabSize ? otherwise : null;
    const value = this.json[key] === undefined ? fallback : this.json[key];
    if (value === null) return null;
    if (Number.isSafeInteger(value) && 0 <= (value as number) && (value as number) < vocabSize) {
      return value as number;
    }
    throw this.error(key, `a token id from 0 to ${vocabSize - 1}, or null; correct it`);
  }
}

/** The same with its keys in alphabetical order, as transformers writes it. */
export function sortedKeys(json: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(json).sort(([a], [b]) => a < b ? -1 : 1));
}
