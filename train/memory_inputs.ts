import { join } from "node:path";
import type { AdapterLimits } from "../kernels/runtime/mod.ts";
import { findBase } from "../model/adapter_folder.ts";
import { parseCausalLMConfig } from "../model/causal_lm_config.ts";
import { parseSequenceClassifierConfig } from "../model/classifier_config.ts";
import { ModelConfigError } from "../model/config_json.ts";
import { readTokenizer } from "../model/tokenizer.ts";
import { ModelFolderError } from "../weights/errors.ts";
import { readModelConfig } from "../weights/folder.ts";
import { resolveConfigFolder } from "../weights/hub.ts";
import { hasModel } from "../weights/hub_files.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import type { TrainConfig } from "./config.ts";
import { classifiersOf, REWARD_NAMES } from "./load_reward.ts";
import { findConfig } from "./model_source.ts";
import { EMBEDDED_POLICY } from "./open_run.ts";
import type { PlanInputs, PromptLengths } from "./plan.ts";

/**
 * What a plan of a run is made from, of models that may not be on this machine yet: of those on the Hub only
 * `config.json` is downloaded.
 *
 * @param prompts Those that the policy will be trained on, and those that it will be evaluated on.
 * @throws {ModelFolderError} If there is no such model folder; and {@linkcode HubError} if there is no such model.
 * @throws {ModelConfigError} If the architecture, or an option of it, is not implemented.
 */
export async function planInputs(
  settings: TrainConfig,
  prompts: { training: readonly string[]; evaluation: readonly string[] },
  { limits, hub }: { limits: AdapterLimits; hub: HubOptions },
): Promise<PlanInputs> {
  const folder = settings.model ? await findConfig(settings.model, hub) : EMBEDDED_POLICY;
  const { base } = await findBase(
    folder,
    (name, { local }) => resolveConfigFolder(name, { ...hub, local }),
  );
  const { reward, judge, specialTokens } = settings;
  const rewards = [];
  for (const scorer of [reward, judge]) {
    if (scorer === "") continue;
    for (const name of await classifiersOf(scorer)) {
      const config = await classifierConfig(await findConfig(name, hub, REWARD_NAMES));
      if (config) rewards.push(config);
    }
  }
  return {
    model: parseCausalLMConfig(await readModelConfig(base), join(base, "config.json")),
    rewards,
    settings,
    limits,
    promptTokens: {
      training: await lengthsOf(base, prompts.training, { specialTokens }),
      evaluation: await lengthsOf(base, prompts.evaluation, { specialTokens }),
    },
  };
}

/** The configuration of a classifier; of a folder that is none the heuristic scores, and it takes no memory. */
async function classifierConfig(folder: string) {
  try {
    const json = await readModelConfig(folder);
    return parseSequenceClassifierConfig(json, join(folder, "config.json"));
  } catch (error) {
    if (error instanceof ModelFolderError || error instanceof ModelConfigError) return undefined;
    throw error;
  }
}

/** Without the tokenizer a prompt has at most one token a byte, as byte-level BPE begins with. */
async function lengthsOf(
  folder: string,
  prompts: readonly string[],
  options: { specialTokens: boolean },
): Promise<PromptLengths> {
  if (!await hasModel(folder)) {
    const bytes = prompts.map((prompt) => new TextEncoder().encode(prompt).length);
    return { shortest: 1, longest: Math.max(1, ...bytes) };
  }
  const tokenizer = await readTokenizer(folder, options);
  const lengths = prompts.map((prompt) => Math.max(1, tokenizer.encode(prompt).length));
  return { shortest: Math.min(...lengths), longest: Math.max(...lengths) };
}
