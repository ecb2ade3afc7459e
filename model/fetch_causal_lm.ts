/** Models from a web server, file by file: what a page has in place of folders. */

import type { Gpu } from "../kernels/runtime/mod.ts";
import { MemorySource } from "../weights/byte_source.ts";
import { ModelFolderError } from "../weights/errors.ts";
import { CONFIG, ModelFolder, parseModelConfig } from "../weights/folder.ts";
import { readSafetensors } from "../weights/safetensors.ts";
import { WEIGHTS, Weights } from "../weights/weights.ts";
import type { CausalLM } from "./causal_lm.ts";
import { openCausalLM } from "./causal_lm_folder.ts";
import { loadTokenizer } from "./tokenizer.ts";

/** How {@linkcode fetchCausalLM} goes. */
export interface FetchOptions {
  /** Take the spelling of special tokens in texts for the tokens, as chat prompts need (default false). */
  specialTokens?: boolean;
  /** Gives a file in place of the runtime's `fetch`, such as from a cache of the page. */
  fetch?: (url: string) => Promise<Response>;
  /** Hears how much of the weights is here, in bytes; `total` is 0 where the server does not say. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Loads a GPT-2 or a GPT-Neo from a web server, in a browser or elsewhere: config.json, model.safetensors, which must
 * be one file, tokenizer.json and, where there is one, tokenizer_config.json.
 *
 * ```ts ignore
 * using model = await fetchCausalLM(gpu, "https://huggingface.co/openai-community/gpt2/resolve/main/");
 * ```
 *
 * The weights are in memory once while they are loaded.
 *
 * @param address Of the folder, with `/` at its end.
 * @throws {TypeError} If the address is not a whole one, with its `https:`.
 * @throws {ModelFolderError} If a file cannot be had, or a tensor is missing, has the wrong shape, or is not known.
 * @throws {SafetensorsError} If the weights break the format.
 * @throws {ModelConfigError} If the architecture or an option of it is not implemented.
 * @throws {TokenizerError} If the tokenizer is broken.
 */
export async function fetchCausalLM(
  gpu: Gpu,
  address: string | URL,
  { fetch = globalThis.fetch, onProgress, ...options }: FetchOptions = {},
): Promise<CausalLM> {
  const path = String(address);
  const get = async (name: string): Promise<Response> => {
    const url = new URL(name, address).href;
    const response = await fetch(url).catch((cause: unknown) => {
      throw notFetched(url, "the server cannot be reached", cause);
    });
    if (!response.ok) await response.body?.cancel();
    return response;
  };
  const bytesOf = async (name: string, listener?: FetchOptions["onProgress"]) =>
    await bodyOf(found(await get(name), name, path), new URL(name, address).href, listener);

  const config = parseModelConfig(await bytesOf(CONFIG), new URL(CONFIG, address).href);
  const tokenizer = await bytesOf("tokenizer.json");
  const settings = await get("tokenizer_config.json");
  const settingsJson = settings.ok
    ? await bodyOf(settings, new URL("tokenizer_config.json", address).href)
    : undefined;
  const source = new MemorySource(await bytesOf(WEIGHTS, onProgress));
  const file = new URL(WEIGHTS, address).href;
  using folder = new ModelFolder({
    path,
    files: [],
    config,
    weights: new Weights(file, [await readSafetensors(source, file)]),
  });
  const codec = () => loadTokenizer(tokenizer, settingsJson, { ...options, folder: path });
  return await openCausalLM(gpu, folder, codec, { name: path });
}

function found(response: Response, name: string, path: string): Response {
  if (response.ok) return response;
  throw notFetched(new URL(name, path).href, `the server answers ${response.status}`);
}

function notFetched(
  url: string,
  problem: string,
  cause?: unknown,
  remedy = "give the address of a folder with a model, with / at its end",
): ModelFolderError {
  return new ModelFolderError(`Cannot fetch ${url}: ${problem}; ${remedy}`, { path: url, cause });
}

async function bodyOf(
  response: Response,
  url: string,
  onProgress?: FetchOptions["onProgress"],
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await received(response, onProgress);
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw notFetched(url, "there is not enough memory for it", cause, "use a smaller model");
    }
    throw notFetched(url, "the connection broke off", cause, "try again");
  }
}

/** A body as it comes, in memory that is taken once where the server says how long it is. */
async function received(
  response: Response,
  onProgress: FetchOptions["onProgress"] = () => {},
): Promise<Uint8Array<ArrayBuffer>> {
  const total = Number(response.headers.get("content-length") ?? 0);
  let bytes = new Uint8Array(total);
  let done = 0;
  const reader = (response.body ?? new Blob([]).stream()).getReader(); // Safari cannot iterate over a body
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const { value } = part;
    if (done + value.length > bytes.length) { // compressed, or of unknown length
      const larger = new Uint8Array(2 * (done + value.length));
      larger.set(bytes.subarray(0, done));
      bytes = larger;
    }
    bytes.set(value, done);
    done += value.length;
    onProgress(done, total);
  }
  return bytes.subarray(0, done);
}
