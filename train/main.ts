/**
 * `deno task train`: PPO on a policy, from settings to a run folder and a table of before and after.
 *
 * @module
 */
import { checkpointEvery, progress, showSample, type TrainerCallback } from "./callbacks.ts";
import { comparison, summary } from "./comparison.ts";
import type { TrainConfig } from "./config.ts";
import { readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import type { Evaluation } from "./evaluate.ts";
import { findModel } from "./model_source.ts";
import { PpoTrainer } from "./ppo_trainer.ts";
import { output, programCommand, programHub, reportError } from "./program.ts";
import { HELD_OUT_PROMPTS, loadPrompts, TRAINING_PROMPTS } from "./prompts.ts";
import { RunFolder } from "./run_folder.ts";
import { addSettings } from "./settings_flags.ts";

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const given = await settings();
  const { say, json } = output(given.json);
  const prompts = given.prompts
    ? await loadPrompts(given.prompts, given.template)
    : TRAINING_PROMPTS;
  await RunFolder.checkFree(given.out);
  const hub = programHub();
  const model = given.model && (await findModel(given.model, hub)).name;
  const config = { ...given, model }; // a branch on the Hub moves, the run's model does not

  using trainer = await PpoTrainer.create({ ...config, hub });
  const heldOut = config.evalResponses > 0 ? HELD_OUT_PROMPTS : [];
  trainer.checkPrompts([...prompts, ...heldOut]);
  const folder = await RunFolder.create(config.out, config); // from here on only training can fail
  const { gpu, policy } = trainer;
  const name = config.model || "weights/review-gpt2";
  say(`policy ${name}: ${policy.layout.count} parameters, on ${gpu.description}`);

  const evaluate = async (when: string): Promise<Evaluation | undefined> => {
    const responses = config.evalResponses;
    if (responses === 0) return undefined;
    say(`${when} training: ${responses} responses to held-out prompts`);
    return await trainer.evaluate(HELD_OUT_PROMPTS, { responses });
  };
  const before = await evaluate("before");
  const callbacks: TrainerCallback[] = [
    folder.recorder(),
    progress(say),
    { onStepEnd: (_, { metrics }) => json(metrics) },
  ];
  const { sampleEvery, saveEvery, steps } = config;
  if (sampleEvery > 0) callbacks.push(showSample(sampleEvery, say));
  if (saveEvery > 0) callbacks.push(checkpointEvery(saveEvery, (step) => folder.checkpoint(step)));
  await trainer.train({ prompts, callbacks });
  const isSaved = saveEvery > 0 && steps % saveEvery === 0;
  if (!isSaved) await trainer.save(folder.checkpoint(steps));

  const after = await evaluate("after");
  if (before && after) {
    json({ before: summary(before), after: summary(after) });
    for (const line of ["", ...comparison(before, after)]) say(line);
  }
  say(`\nrun folder ${folder.path}, policy in ${folder.checkpoint(steps)}`);
}

/** Defaults < config file < environment < flags. */
async function settings(): Promise<TrainConfig> {
  const command = addSettings(
    programCommand("train", "Train a GPT-2 with PPO against a reward, near its reference.")
      .option("--config <file>", "settings from a TOML, YAML or JSON file; flags override it"),
  ).addHelpText("after", "\nExample:\n  deno task train --steps 20 --kl-target 0.02 --seed 3");
  const { config: path, ...flags } = command.parse(Deno.args, { from: "user" }).opts();
  const file = path === undefined ? undefined : await readConfigFile(path);
  return resolveConfig({ file, env: Deno.env.toObject(), flags });
}
