/**
 * What runs in a browser: the kernels, language models that come from a web server, and generation.
 *
 * ```ts ignore
 * import { fetchCausalLM, Gpu } from "@kl-guard/kl-guard/browser";
 *
 * using gpu = await Gpu.open();
 * using model = await fetchCausalLM(gpu, new URL("weights/review-gpt2/", location.href));
 * const { texts } = await model.generate(["The movie was"], { maxNewTokens: 24 });
 * ```
 *
 * `deno task browser` bundles it and serves a page that uses it, examples/browser/.
 *
 * @module
 */

export {
  DeviceLostError,
  Gpu,
  GpuError,
  GpuMemoryError,
  type GpuOptions,
  GpuUnavailableError,
  Tuning,
} from "./kernels/runtime/mod.ts";
export { ModelFolderError, SafetensorsError } from "./weights/errors.ts";
export type { CausalLM } from "./model/causal_lm.ts";
export { ModelConfigError } from "./model/config_json.ts";
export { fetchCausalLM, type FetchOptions } from "./model/fetch_causal_lm.ts";
export type { GenerateOptions, Generation } from "./model/generate.ts";
export { TokenRowsError } from "./model/token_batch.ts";
export { loadTokenizer, type TextCodec, TokenizerError } from "./model/tokenizer.ts";
