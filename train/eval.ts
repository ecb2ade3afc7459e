/**
 * `deno task eval`: what a policy does with prompts, beside a reference that does the same.
 *
 * @module
 */
import { join } from "node:path";
import { Gpu } from "../kernels/runtime/mod.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import { HeuristicReward } from "../reward/heuristic.ts";
import { comparison, summary } from "./comparison.ts";
import {
  classicalDefaults,
  embeddedDefaults,
  type SettingName,
  SETTINGS,
  type TrainConfig,
} from "./config.ts";
import { type ConfigFile, readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import { evaluatePolicy } from "./evaluate.ts";
import { wholeNumber } from "./flag_values.ts";
import { EMBEDDED_POLICY } from "./ppo_trainer.ts";
import { output, programCommand, reportError } from "./program.ts";
import { HELD_OUT_PROMPTS, loadPrompts } from "./prompts.ts";
import { latestCheckpoint } from "./run_folder.ts";
import { addSettings } from "./settings_flags.ts";

/** How responses are sampled and scored: these a run folder's own `config.json` decides, if no flag does. */
const SAMPLING: readonly SettingName[] = [
  "reward",
  "seed",
  "maxLength",
  "maxNewTokens",
  "minNewTokens",
  "temperature",
  "topK",
  "topP",
];

const FLAGS: readonly SettingName[] = ["prompts", "template", ...SAMPLING, "json"];

const command = addSettings(
  programCommand(
    "eval",
    "Compare a policy with a reference on prompts: reward, KL, diversity, texts.",
  )
    .option(
      "--model <dir>",
      "model folder, or run folder: its newest checkpoint (default: embedded)",
    )
    .option(
      "--compare <dir>",
      "the reference, likewise (default: what the run began with, or embedded)",
    )
    .option(
      "--responses <number>",
      "responses of each, the prompts taken in turn " +
        `(default: ${embeddedDefaults.evalResponses}, with --model ${classicalDefaults.evalResponses})`,
      wholeNumber(1),
    ),
  SETTINGS.filter(({ name }) => FLAGS.includes(name)),
).addHelpText("after", "\nExample:\n  deno task eval --model runs/a --responses 48");

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { model, compare, responses, ...flags } = command.parse(Deno.args, { from: "user" }).opts();
  const run = model === undefined ? undefined : await openRun(model);
  const config = resolveConfig({
    file: run?.settings,
    flags: { ...flags, evalResponses: responses, model: run ? undefined : model },
  });
  const { say, json } = output(config.json);
  const prompts = config.prompts
    ? await loadPrompts(config.prompts, config.template)
    : HELD_OUT_PROMPTS;
  const policyFolder = run?.checkpoint ?? model ?? EMBEDDED_POLICY;
  const referenceFolder = await referenceOf(compare, run && config);

  using gpu = await Gpu.open();
  using reference = await loadCausalLM(gpu, referenceFolder);
  using policy = await loadCausalLM(gpu, policyFolder);
  say(`policy ${policyFolder}, reference ${referenceFolder}, on ${gpu.description}`);
  say(`${config.evalResponses} responses of each, seed ${config.seed}`);
  const reward = new HeuristicReward();
  const options = { ...config, responses: config.evalResponses };
  const after = await evaluatePolicy({ policy, reference, reward }, prompts, options);
  const before = await evaluatePolicy({ policy: reference, reference, reward }, prompts, options);

  json({ reference: summary(before), policy: summary(after) });
  const lines = comparison(before, after, { names: ["reference", "policy"] });
  for (const line of ["", ...lines]) say(line);
}

/** The newest checkpoint of a run folder and how the run sampled; undefined where `folder` is none. */
async function openRun(
  folder: string,
): Promise<{ checkpoint: string; settings: ConfigFile } | undefined> {
  const checkpoint = await latestCheckpoint(folder);
  if (checkpoint === undefined) return undefined;
  const { path, entries } = await readConfigFile(join(folder, "config.json"));
  const kept: readonly string[] = ["model", ...SAMPLING];
  return {
    checkpoint,
    settings: { path, entries: entries.filter(({ key }) => kept.includes(key)) },
  };
}

/** What was asked for; else what the run began with; else the embedded policy. */
async function referenceOf(
  compare: string | undefined,
  run: TrainConfig | undefined,
): Promise<string> {
  if (compare !== undefined) return await latestCheckpoint(compare) ?? compare;
  return run?.model || EMBEDDED_POLICY;
}
