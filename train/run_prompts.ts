import { findBase } from "../model/adapter_folder.ts";
import { chatTemplateOf } from "../model/chat_template.ts";
import { readTokenizer } from "../model/tokenizer.ts";
import { resolveModelFolder } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import type { TrainConfig } from "./config.ts";
import { findModel } from "./model_source.ts";
import { EMBEDDED_POLICY } from "./open_run.ts";
import { loadPrompts, type Prompts } from "./prompts.ts";

/**
 * The prompts that the settings name, or the built-in ones. Where they are chats, the model is looked for, and
 * downloaded if need be, for its chat template.
 *
 * @param settings.model Empty for the embedded policy.
 * @throws {Error} As `loadPrompts` and `findModel`.
 */
export async function runPrompts(
  { model, prompts, template, specialTokens }: Pick<
    TrainConfig,
    "model" | "prompts" | "template" | "specialTokens"
  >,
  { hub, builtIn }: { hub: HubOptions; builtIn: readonly string[] },
): Promise<Prompts> {
  if (prompts === "") return { texts: builtIn, specialTokens };
  const chatTemplate = async () => {
    const { folder, name } = model === ""
      ? { folder: EMBEDDED_POLICY, name: "weights/review-gpt2" }
      : await findModel(model, hub);
    const { base } = await findBase( // whose tokenizer the policy has
      folder,
      (name, { local }) => resolveModelFolder(name, { ...hub, local }),
    );
    return chatTemplateOf(await readTokenizer(base), name);
  };
  const loaded = await loadPrompts(prompts, { template, chatTemplate });
  return { ...loaded, specialTokens: specialTokens || loaded.specialTokens };
}
