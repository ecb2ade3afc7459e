/**
 * `deno task explain`: one PPO step on a few prompts, with every tensor that it makes.
 *
 * @module
 */
import { Gpu } from "../kernels/runtime/mod.ts";
import { ConfigError, type SettingName, SETTINGS } from "./config.ts";
import { resolveConfig } from "./config_resolve.ts";
import { explainStep } from "./explain_step.ts";
import { sectionLines } from "./explain_text.ts";
import { wholeNumber } from "./flag_values.ts";
import { openRun } from "./open_run.ts";
import { ppoStep } from "./ppo.ts";
import { output, programCommand, programHub, reportError } from "./program.ts";
import { addSettings } from "./settings_flags.ts";

/** What a step on a few prompts depends on. */
const FLAGS: readonly SettingName[] = [
  "model",
  "reward",
  "seed",
  "epochs",
  "learningRate",
  "klCoef",
  "klTarget",
  "klController",
  "klMode",
  "klEstimator",
  "clipRange",
  "valueClipRange",
  "valueCoef",
  "entropyCoef",
  "gamma",
  "lambda",
  "whitenAdvantages",
  "maxNewTokens",
  "temperature",
  "json",
];

/** More than this nobody could read. */
const MOST_PROMPTS = 8;

const PROMPTS = ["The movie was", "I think this product is"];

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { prompt: prompts, after, ...flags } = addSettings(
    programCommand("explain", "Take one PPO step on a few prompts, and show every tensor of it.")
      .option(
        "--prompt <text>",
        `a prompt; may be given several times (default: ${
          PROMPTS.map((p) => `"${p}"`).join(", ")
        })`,
        (text: string, before: string[] | undefined) => [...(before ?? []), text],
      )
      .option(
        "--after <steps>",
        "PPO steps to take first, so that policy and reference differ",
        wholeNumber(0),
        2,
      ),
    SETTINGS.filter(({ name }) => FLAGS.includes(name)),
  ).addHelpText(
    "after",
    '\nExample:\n  deno task explain --prompt "The movie was" --kl-mode reward',
  )
    .parse(Deno.args, { from: "user" }).opts();
  const texts = prompts ?? PROMPTS;
  if (texts.length > MOST_PROMPTS) {
    throw new ConfigError(
      `Cannot explain ${texts.length} prompts at once: it would be too long to read; give at most ${MOST_PROMPTS}`,
    );
  }
  const config = resolveConfig({
    flags: {
      maxNewTokens: 8, // as many as stand side by side
      epochs: 2,
      ...flags,
      batchSize: texts.length,
      miniBatchSize: 1,
      judge: "",
    },
  });
  const { say, json } = output(config);
  const hub = programHub();
  using gpu = await Gpu.open();
  using resources = new DisposableStack();
  const run = await openRun(gpu, resources, config, { hub, say: hub.say });
  say(`policy ${config.model || "weights/review-gpt2"} on ${gpu.description}`);
  say("B responses, Q columns of prompts, R of responses; a column is a token, · its space");
  for (let step = 0; step < after; step++) {
    await ppoStep(run, texts, { step, learningRate: config.learningRate });
  }
  if (after > 0) say(`PPO step ${after + 1}, after ${after} that are not shown`);

  let number = 0;
  for await (const section of explainStep(run, texts, { step: after })) {
    json(section);
    for (const line of sectionLines(section, ++number)) say(line);
  }
}
