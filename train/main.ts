/**
 * `deno task train`: PPO on a policy, from settings to a run folder and a table of before and after.
 *
 * @module
 */
import { checkpointEvery, progress, showSample, type TrainerCallback } from "./callbacks.ts";
import { comparison } from "./comparison.ts";
import type { TrainConfig } from "./config.ts";
import { readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import type { Evaluation } from "./evaluate.ts";
import { PpoTrainer } from "./ppo_trainer.ts";
import { reportError } from "./program.ts";
import { HELD_OUT_PROMPTS, loadPrompts, TRAINING_PROMPTS } from "./prompts.ts";
import { RunFolder } from "./run_folder.ts";
import { settingsCommand } from "./settings_flags.ts";

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const config = await settings();
  const say = config.json ? () => {} : (line: string) => console.log(line);
  const prompts = config.prompts
    ? await loadPrompts(config.prompts, config.template)
    : TRAINING_PROMPTS;

  using trainer = await PpoTrainer.create(config);
  const { gpu, policy } = trainer;
  say(`policy ${config.model || "weights/review-gpt2"}: ${policy.layout.count} parameters, on ${gpu.description}`);
  const folder = await RunFolder.create(config.out, config);
  const before = await evaluate(trainer, "before", say);
  const callbacks: TrainerCallback[] = [folder.recorder()];
  if (config.json) callbacks.push(jsonLines());
  else callbacks.push(progress(say));
  if (!config.json && config.sampleEvery > 0) callbacks.push(showSample(config.sampleEvery, say));
  if (config.saveEvery > 0) {
    callbacks.push(checkpointEvery(config.saveEvery, (step) => folder.checkpoint(step)));
  }
  await trainer.train({ prompts, callbacks });
  await trainer.save(folder.checkpoint(trainer.steps));

  const after = await evaluate(trainer, "after", say);
  if (before && after) {
    if (config.json) print({ before: summary(before), after: summary(after) });
    else for (const line of ["", ...comparison(before, after)]) say(line);
  }
  say(`\nrun folder ${folder.path}, policy in ${folder.checkpoint(trainer.steps)}`);
}

/** Defaults < config file < environment < flags. */
async function settings(): Promise<TrainConfig> {
  const command = settingsCommand("train", "Train a GPT-2 with PPO against a reward, near its reference.")
    .addHelpText("after", "\nExample:\n  deno task train --steps 20 --kl-target 0.02 --seed 3");
  const { config: path, ...flags } = command.parse(Deno.args, { from: "user" }).opts();
  const file = path === undefined ? undefined : await readConfigFile(path);
  return resolveConfig({ file, env: Deno.env.toObject(), flags });
}

async function evaluate(
  trainer: PpoTrainer,
  when: string,
  say: (line: string) => void,
): Promise<Evaluation | undefined> {
  const { evalResponses: responses } = trainer.config;
  if (responses === 0) return undefined;
  say(`${when} training: ${responses} responses to held-out prompts`);
  return await trainer.evaluate(HELD_OUT_PROMPTS, { responses });
}

/** An evaluation without its texts. */
function summary({ samples, ...numbers }: Evaluation) {
  return { ...numbers, responses: samples.length };
}

function jsonLines(): TrainerCallback {
  return { onStepEnd: (_, { metrics }) => print(metrics) };
}

function print(value: unknown): void {
  console.log(JSON.stringify(value));
}
