/** The architectures that a `CausalLM` can have, told apart by `model_type` in `config.json`. */

import { type Gpt2Config, parseGpt2Config, toHuggingFaceConfig } from "./config.ts";
import { ConfigReader } from "./config_json.ts";
import {
  type GptNeoConfig,
  parseGptNeoConfig,
  toHuggingFaceGptNeoConfig,
} from "./gpt_neo_config.ts";

/** The architecture of a language model. */
export type CausalLMConfig = Gpt2Config | GptNeoConfig;

/**
 * Reads the configuration of a language model as transformers writes it; see `parseGpt2Config` and
 * `parseGptNeoConfig`.
 *
 * @param json What `config.json` holds.
 * @param source Its path, for error messages.
 * @throws {ModelConfigError} If it is of another architecture, asks for something that is not
 * implemented, or a value is missing or impossible.
 */
export function parseCausalLMConfig(json: unknown, source: string): CausalLMConfig {
  const read = new ConfigReader(json, source);
  switch (read.json.model_type) {
    case "gpt2":
      return parseGpt2Config(json, source);
    case "gpt_neo":
      return parseGptNeoConfig(json, source);
    default:
      throw read.error("model_type", '"gpt2" or "gpt_neo"; other architectures are not supported');
  }
}

/**
 * The content of `config.json` as transformers writes it, keys sorted.
 *
 * @param original The `config.json` that the model was loaded with, parsed; its other keys are kept.
 */
export function toHuggingFaceCausalLMConfig(
  config: CausalLMConfig,
  original: unknown = {},
): Record<string, unknown> {
  return config.modelType === "gpt2"
    ? toHuggingFaceConfig(config, original)
    : toHuggingFaceGptNeoConfig(config, original);
}
