/**
 * `deno task plan`: what a training run would take of the GPU's memory, before anything is downloaded.
 *
 * @module
 */
import { adapterLimits, GpuUnavailableError } from "../kernels/runtime/mod.ts";
import { showBytes } from "./byte_size.ts";
import { readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import { adviceOf, checkMemory, showLimits } from "./memory_check.ts";
import { planInputs } from "./memory_inputs.ts";
import type { MemoryPlan } from "./plan.ts";
import {
  addExamples,
  output,
  programCommand,
  programHub,
  reportError,
  settingVariables,
} from "./program.ts";
import { HELD_OUT_PROMPTS, TRAINING_PROMPTS } from "./prompts.ts";
import { runPrompts } from "./run_prompts.ts";
import { addSettings } from "./settings_flags.ts";
import { translateTrl } from "./trl_config.ts";

/** Its flags. */
export const command = addSettings(
  programCommand(
    "plan",
    "Say what a training run would take of the GPU's memory. Of a model on the Hub, only its " +
      "configuration is downloaded.",
  ).option(
    "--config <file>",
    "settings from a TOML, YAML or JSON file, or a PPOConfig of TRL; flags override it",
  ),
).addHelpText("after", "\nThe exit status is 1 where the run would not fit.");
addExamples(command, ["plan --model gpt2-medium --batch-size 8 --memory-budget 8GiB"]);

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { config: path, ...flags } = command.parse(Deno.args, { from: "user" }).opts();
  const file = path === undefined
    ? undefined
    : translateTrl(await readConfigFile(path), console.error);
  const settings = resolveConfig({ file, env: settingVariables(), flags });
  const { say, json } = output(settings);
  const { memoryBudget } = settings;
  const hub = programHub();
  const { texts, specialTokens } = await runPrompts(settings, { hub, builtIn: TRAINING_PROMPTS });
  const prompts = { training: texts, evaluation: HELD_OUT_PROMPTS };
  const { limits, adapter } = await lookAtAdapter();
  const inputs = await planInputs({ ...settings, specialTokens }, prompts, { limits, hub });
  const { plan, problem, remedies } = await checkMemory(inputs);

  json({ model: settings.model, ...plan, limits, problem, remedies });
  for (const line of plan ? table(plan) : []) say(line);
  say(`${adapter}: ${showLimits(limits)}`);
  if (problem !== undefined) {
    say(`it does not fit: ${problem}; ${adviceOf(remedies)}`);
    Deno.exitCode = 1;
  } else if (memoryBudget !== "") {
    say(`it fits into ${memoryBudget}`);
  } else {
    say(
      "it fits these limits; how much memory is free no adapter says, so give --memory-budget to check",
    );
  }
}

/** Where there is no adapter, what every WebGPU adapter allows. */
async function lookAtAdapter() {
  try {
    return { limits: await adapterLimits(), adapter: "the adapter of this machine" };
  } catch (error) {
    if (!(error instanceof GpuUnavailableError)) throw error;
    const limits = { bindingBytes: 2 ** 27, bufferBytes: 2 ** 28 };
    return { limits, adapter: "no adapter on this machine, so what every one allows" };
  }
}

/** The parts of a plan, one a line, and their sum. */
function table({ parts, peakBytes, parameters }: MemoryPlan): string[] {
  const lines = [...parts, { name: "at the peak", bytes: peakBytes }]
    .map(({ name, bytes }) => `${name.padEnd(26)}${showBytes(bytes).padStart(9)}`);
  return [`${parameters} parameters`, "", ...lines, ""];
}
