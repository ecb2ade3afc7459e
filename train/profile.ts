/**
 * `deno task profile`: where the time of a PPO step goes, by phase and by kernel.
 *
 * @module
 */
import { measurePeaks } from "./adapter_peaks.ts";
import { readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import { Guard } from "./guard.ts";
import { PpoTrainer } from "./ppo_trainer.ts";
import { chromeTrace, describeAdapter, kernelTable, stepTable } from "./profile_report.ts";
import {
  output,
  programCommand,
  programGpu,
  programHub,
  reportError,
  settingVariables,
} from "./program.ts";
import { PromptBatches, TRAINING_PROMPTS } from "./prompts.ts";
import { runPrompts } from "./run_prompts.ts";
import { addSettings } from "./settings_flags.ts";
import {
  kernelProfiles,
  measuredAdapter,
  profileDispatches,
  profileSteps,
} from "./step_profile.ts";
import { translateTrl } from "./trl_config.ts";

/** Steps that are timed where the flags do not say; two more come before. */
const STEPS = 3;
const WARM_UP = 2;

/** Its flags. */
export const command = addSettings(
  programCommand(
    "profile",
    "Say where the time of a PPO step goes, by phase and by kernel, and how near the adapter's limits it is. " +
      `Takes two steps to warm up, --steps to time (default ${STEPS}), and one with every dispatch timed. ` +
      "The guard and checkpoints are left out; nothing is saved.",
  )
    .option("--config <file>", "settings from a TOML, YAML or JSON file; flags override it")
    .option("--trace <file>", "write the last step for chrome://tracing or ui.perfetto.dev"),
).addHelpText("after", "\nExample:\n  deno task profile --steps 5 --trace step.json");

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { config: path, trace, ...flags } = command.parse(Deno.args, { from: "user" }).opts();
  const file = path === undefined
    ? undefined
    : translateTrl(await readConfigFile(path), console.error);
  const config = resolveConfig({ file, env: settingVariables(), flags });
  const steps = typeof flags.steps === "number" ? flags.steps : STEPS;
  const { say, json } = output(config);
  const hub = programHub();
  const { texts, specialTokens } = await runPrompts(config, { hub, builtIn: TRAINING_PROMPTS });

  using gpu = await programGpu({ timestamps: true });
  using trainer = await PpoTrainer.create({ ...config, specialTokens, gpu, hub, say: hub.say });
  const { run } = trainer;
  const batches = new PromptBatches(texts, run.config);
  const profile = await profileSteps(run, () => batches.next(), {
    steps,
    warmUp: WARM_UP,
    guard: config.guard ? new Guard(run.config) : undefined,
  });
  const timed = await profileDispatches(run, batches.next(), { step: WARM_UP + steps });
  const peaks = await measurePeaks(gpu); // last, since it takes memory of its own
  const adapter = measuredAdapter(gpu, peaks);
  const kernels = kernelProfiles(timed.dispatches, peaks);

  if (trace !== undefined) {
    await Deno.writeTextFile(trace, JSON.stringify(chromeTrace(timed)));
  }
  json({ adapter, step: profile, timedBy: timed.source, kernels });
  for (const line of [describeAdapter(adapter), "", ...stepTable(profile), ""]) say(line);
  say(`kernels of one more step, timed by ${timed.source}`);
  for (const line of ["", ...kernelTable(kernels)]) say(line);
  if (trace !== undefined) say(`\ntrace ${trace}`);
}
