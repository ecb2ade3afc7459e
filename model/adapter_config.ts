/** PEFT's `adapter_config.json`: which adapters a folder holds, and of what model. */

import { isAbsolute } from "node:path";
import { parseHubName } from "../weights/hub_name.ts";
import { ConfigReader, sortedKeys } from "./config_json.ts";
import type { LoraOptions } from "./lora.ts";

/** What `adapter_config.json` says, as far as it is implemented. */
export interface AdapterConfig extends LoraOptions {
  /** The model that the adapters belong to: a folder, or a name on the Hub, perhaps with `@` and a revision. */
  readonly baseModel: string;
}

/** Options of PEFT's LoraConfig that change the result, with the one value that is supported. */
const SWITCHES = {
  use_dora: false,
  use_rslora: false,
  use_qalora: false,
  lora_bias: false,
} as const;

/** The same, where nothing is what is supported: null, or an empty list or object. */
const NOTHING = [
  "alpha_pattern",
  "rank_pattern",
  "exclude_modules",
  "layer_replication",
  "layers_to_transform",
  "modules_to_save",
  "target_parameters",
  "trainable_token_indices",
] as const;

/** What a folder or a model on the Hub can be called: a bound on what ends up in messages, and no control characters. */
const BASE_NAME = /^\P{Cc}{1,500}$/u;

/** How adapters may have begun; in other ways PEFT changes the weights below them too, each time that it loads them. */
const BEGINNINGS: readonly unknown[] = [true, false, "gaussian", "eva", "orthogonal"];

/**
 * Reads what PEFT writes for LoRA.
 *
 * @param json What `adapter_config.json` holds.
 * @param source Its path, for error messages.
 * @throws {ModelConfigError} If the adapters are of another kind, have an option that is not implemented, or a value
 * is missing or impossible.
 */
export function parseAdapterConfig(json: unknown, source: string): AdapterConfig {
  const read = new ConfigReader(json, source);
  const { peft_type: type, bias = "none", target_modules: targets } = read.json;
  const { base_model_name_or_path: base, revision } = read.json;
  if (type !== "LORA") throw read.error("peft_type", '"LORA"; no other is supported');
  if (bias !== "none") throw read.error("bias", '"none"; train no biases');
  read.fixed(SWITCHES);
  for (const key of NOTHING) {
    const value = read.json[key] ?? {};
    if (typeof value !== "object" || Object.keys(value).length > 0) {
      throw read.error(key, "null or empty; it is not supported");
    }
  }
  if (!BEGINNINGS.includes(read.json.init_lora_weights ?? true)) {
    throw read.error("init_lora_weights", "true; save the adapters as plain LoRA");
  }
  if (typeof base !== "string" || !BASE_NAME.test(base)) {
    throw read.error("base_model_name_or_path", "the name of a model; correct it");
  }
  if (!Array.isArray(targets) || !targets.every((target) => typeof target === "string")) {
    throw read.error("target_modules", "a list of names of layers; write them out");
  }
  return {
    rank: read.positiveInteger("r"),
    alpha: read.positiveNumber("lora_alpha", 8), // PEFT's default
    targets,
    baseModel: typeof revision === "string" ? `${base}@${revision}` : base,
  };
}

/**
 * The content of `adapter_config.json` as PEFT writes it, keys sorted.
 *
 * @param fanInFanOut Whether the model keeps weights as (in, out), as GPT-2 does.
 */
export function toPeftConfig(
  { rank, alpha, targets, baseModel }: AdapterConfig,
  { fanInFanOut }: { fanInFanOut: boolean },
): Record<string, unknown> {
  const hub = isAbsolute(baseModel) ? undefined : parseHubName(baseModel);
  const [name, revision = null] = hub ? baseModel.split("@") : [baseModel];
  return sortedKeys({
    ...Object.fromEntries(NOTHING.map((key) => [key, key.endsWith("_pattern") ? {} : null])),
    ...SWITCHES,
    auto_mapping: null,
    base_model_name_or_path: name,
    bias: "none",
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    peft_type: "LORA",
    r: rank,
    revision,
    target_modules: targets,
    task_type: "CAUSAL_LM",
  });
}
