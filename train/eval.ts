/**
 * `deno task eval`: what a policy does with prompts, beside a reference that does the same.
 *
 * @module
 */
import { join } from "node:path";
import type { CausalLM } from "../model/causal_lm.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import type { ResolvedModel } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { comparison, summary } from "./comparison.ts";
import { classicalDefaults, embeddedDefaults, type SettingName, SETTINGS } from "./config.ts";
import { type ConfigFile, readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import { evaluatePolicy } from "./evaluate.ts";
import { wholeNumber } from "./flag_values.ts";
import { configuredJudge, configuredReward } from "./load_reward.ts";
import { findModel } from "./model_source.ts";
import { EMBEDDED_POLICY } from "./open_run.ts";
import {
  addExamples,
  addOutputFlags,
  output,
  programCommand,
  programGpu,
  programHub,
  reportError,
} from "./program.ts";
import { HELD_OUT_PROMPTS } from "./prompts.ts";
import { withEvaluationBar } from "./run_display.ts";
import { latestCheckpoint } from "./run_folder.ts";
import { runPrompts } from "./run_prompts.ts";
import { addSettings } from "./settings_flags.ts";

/** How responses are sampled and scored: these a run folder's own `config.json` decides, if no flag does. */
const SAMPLING: readonly SettingName[] = [
  "reward",
  "judge",
  "positiveFactor",
  "negativeFactor",
  "positiveLabel",
  "classifiedText",
  "rewardTimeout",
  "seed",
  "maxLength",
  "maxNewTokens",
  "minNewTokens",
  "temperature",
  "topK",
  "topP",
];

const FLAGS: readonly SettingName[] = ["prompts", "template", "specialTokens", ...SAMPLING, "json"];

/** Its flags. */
export const command = addOutputFlags(
  addSettings(
    programCommand(
      "eval",
      "Compare a policy with a reference on prompts: reward, KL, diversity, texts.",
    )
      .optionsGroup("Model:")
      .option(
        "--model <model>",
        "model folder, run folder (its newest checkpoint), or model on the Hub (default: embedded)",
      )
      .option(
        "--compare <model>",
        "the reference, likewise (default: what the run began with, or embedded)",
      )
      .option(
        "--responses <number>",
        "responses of each, the prompts taken in turn " +
          `(default: ${embeddedDefaults.evalResponses}, with --model ${classicalDefaults.evalResponses})`,
        wholeNumber(1),
      ),
    SETTINGS.filter(({ name }) => FLAGS.includes(name)),
  ),
);
addExamples(command, [
  "eval --model runs/a --responses 48",
  "eval --model gpt2-medium --compare gpt2 --prompts prompts.txt --temperature 0.7",
]);

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { model, compare, responses, quiet, ...flags } = command.parse(Deno.args, { from: "user" })
    .opts();
  const run = model === undefined ? undefined : await openRun(model);
  const config = resolveConfig({
    file: run,
    flags: { ...flags, evalResponses: responses, model: run ? undefined : model },
  });
  const { say, result, emit, screen } = output({ ...config, quiet });
  const hub = programHub(screen);
  const { texts: prompts, specialTokens } = await runPrompts({ ...config, model: model ?? "" }, {
    hub,
    builtIn: HELD_OUT_PROMPTS,
  });
  const policyModel = await modelOf(model, hub);
  const referenceModel = await modelOf(compare ?? (run && config.model), hub);

  using gpu = await programGpu();
  using reference = await loadCausalLM(gpu, referenceModel.folder, { hub, specialTokens });
  using policy = await loadCausalLM(gpu, policyModel.folder, { hub, specialTokens });
  say(`policy ${policyModel.name}, reference ${referenceModel.name}, on ${gpu.description}`);
  say(`${config.evalResponses} responses of each, seed ${config.seed}`);
  emit({
    event: "start",
    program: "eval",
    model: policyModel.name,
    reference: referenceModel.name,
    adapter: gpu.description,
  });
  using resources = new DisposableStack();
  const reward = await configuredReward(config, { gpu, hub, say: hub.say });
  resources.defer(() => reward[Symbol.dispose]?.());
  const judge = await configuredJudge(config, { gpu, hub, say: hub.say });
  resources.defer(() => judge?.[Symbol.dispose]?.());
  const scorers = { reference, reward, ...(judge && { judge }) };
  const evaluate = async (of: "policy" | "reference", model: CausalLM) => {
    const evaluation = await withEvaluationBar(
      screen,
      config.evalResponses,
      (options) =>
        evaluatePolicy({ policy: model, ...scorers }, prompts, { ...config, ...options }),
    );
    emit({ event: "evaluation", of, ...summary(evaluation) });
    return evaluation;
  };
  const after = await evaluate("policy", policy);
  const before = await evaluate("reference", reference);

  emit({ event: "end", reference: summary(before), policy: summary(after) });
  const { columns } = screen;
  const lines = comparison(before, after, { names: ["reference", "policy"], columns });
  for (const line of ["", ...lines]) result(line);
}

/** How a run folder's run sampled, and its model; undefined where `folder` is none. */
async function openRun(folder: string): Promise<ConfigFile | undefined> {
  if (await latestCheckpoint(folder) === undefined) return undefined;
  const { path, entries } = await readConfigFile(join(folder, "config.json"));
  const kept: readonly string[] = ["model", ...SAMPLING];
  return { path, entries: entries.filter(({ key }) => kept.includes(key)) };
}

/** The model of this name; the embedded policy where there is none. */
async function modelOf(name: string | undefined, hub: HubOptions): Promise<ResolvedModel> {
  return name ? await findModel(name, hub) : { folder: EMBEDDED_POLICY, name: EMBEDDED_POLICY };
}
