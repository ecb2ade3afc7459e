/**
 * `deno task explain`: one PPO step on a few prompts, with every tensor that it makes.
 *
 * @module
 */
import { ConfigError, type SettingName, SETTINGS } from "./config.ts";
import { resolveConfig } from "./config_resolve.ts";
import { explainPage } from "./explain_page.ts";
import { explainStep } from "./explain_step.ts";
import type { ExplainedSection } from "./explain_tensors.ts";
import { sectionLines } from "./explain_text.ts";
import { wholeNumber } from "./flag_values.ts";
import { writePage } from "./html.ts";
import { openRun } from "./open_run.ts";
import { ppoStep } from "./ppo.ts";
import { output, programCommand, programGpu, programHub, reportError } from "./program.ts";
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

/** Its flags. */
export const command = addSettings(
  programCommand("explain", "Take one PPO step on a few prompts, and show every tensor of it.")
    .option(
      "--prompt <text>",
      `a prompt; may be given several times (default: ${PROMPTS.map((p) => `"${p}"`).join(", ")})`,
      (text: string, before: string[] | undefined) => [...(before ?? []), text],
    )
    .option(
      "--after <steps>",
      "PPO steps to take first, so that policy and reference differ",
      wholeNumber(0),
      2,
    )
    .option("--html <file>", "write it as a page instead: one HTML file that works offline"),
  SETTINGS.filter(({ name }) => FLAGS.includes(name)),
).addHelpText(
  "after",
  '\nExamples:\n  deno task explain --prompt "The movie was" --kl-mode reward\n' +
    "  deno task explain --html step.html",
);

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { prompt: prompts, after, html, ...flags } = command.parse(Deno.args, { from: "user" })
    .opts();
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
  const { say, result, json } = output(config);
  const hub = programHub();
  using gpu = await programGpu();
  using resources = new DisposableStack();
  const run = await openRun(gpu, resources, config, { hub, say: hub.say });
  const about = [
    `policy ${config.model || "weights/review-gpt2"} on ${gpu.description}`,
    `PPO step ${after + 1}, after ${after} that are not shown`,
    "B responses, Q columns of prompts, R of responses; a leading space of a token is shown as ·",
  ];
  for (const line of about) say(line);
  for (let step = 0; step < after; step++) {
    await ppoStep(run, texts, { step, learningRate: config.learningRate });
  }

  const sections: ExplainedSection[] = [];
  for await (const section of explainStep(run, texts, { step: after })) {
    json(section);
    sections.push(section);
    if (html !== undefined) continue;
    for (const line of sectionLines(section, sections.length)) say(line);
  }
  if (html !== undefined) {
    await writePage(html, await explainPage(sections, about));
    result(`wrote ${html}`);
  }
}
