/**
 * `deno task train`: PPO on a policy, from settings to a run folder and a table of before and after.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { RewardError } from "../reward/reward.ts";
import { adapterLimits } from "../kernels/runtime/mod.ts";
import { writeFileAtomic } from "../weights/atomic.ts";
import type { TrainerCallback } from "./callbacks.ts";
import { CheckpointKeeper } from "./checkpoint_keeper.ts";
import { comparison, summary } from "./comparison.ts";
import type { TrainConfig } from "./config.ts";
import { readConfigFile } from "./config_file.ts";
import { resolveConfig } from "./config_resolve.ts";
import type { Evaluation } from "./evaluate.ts";
import { PORTS, wholeNumber } from "./flag_values.ts";
import { LivePage } from "./live_page.ts";
import { expectFit } from "./memory_check.ts";
import { planInputs } from "./memory_inputs.ts";
import { csvLogger, tensorBoard } from "./loggers.ts";
import { findModel } from "./model_source.ts";
import { PpoTrainer } from "./ppo_trainer.ts";
import {
  addExamples,
  addOutputFlags,
  output,
  programCommand,
  programHub,
  reportError,
  settingVariables,
} from "./program.ts";
import { HELD_OUT_PROMPTS, TRAINING_PROMPTS } from "./prompts.ts";
import { trainThroughLoss } from "./recovery.ts";
import { findResumePoint, type ResumePoint } from "./resume_point.ts";
import { writeReport } from "./report_page.ts";
import { showTraining, trainingBar, withEvaluationBar } from "./run_display.ts";
import { bestCheckpoint, RunFolder } from "./run_folder.ts";
import { runPrompts } from "./run_prompts.ts";
import { runSinks } from "./run_sinks.ts";
import { Sentinel } from "./sentinel.ts";
import { addSettings } from "./settings_flags.ts";
import { steering } from "./steering.ts";
import { translateTrl } from "./trl_config.ts";
import { TuningFile } from "./tuning_file.ts";
import { warmUp } from "./warm_up.ts";

/** Its flags. */
export const command = addOutputFlags(
  addSettings(
    programCommand("train", "Train a GPT-2 with PPO against a reward, near its reference.")
      .optionsGroup("Run:")
      .option(
        "--config <file>",
        "settings from a TOML, YAML or JSON file, or a PPOConfig of TRL; flags override it",
      )
      .option("--resume <dir>", "go on with a run, after its newest checkpoint or the one given")
      .option(
        "--dashboard [port]",
        "show the run on a live page that steers it",
        wholeNumber(0, PORTS),
      ),
  ),
);
addExamples(command, [
  "train",
  "train --steps 20 --kl-target 0.02 --seed 3 --out runs/a",
  "train --resume runs/a --steps 200 --dashboard",
  "train --model gpt2 --prompts prompts.txt --reward my_reward.ts",
  "train --config run.toml --json > events.jsonl",
]);

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { given, point, dashboard, quiet } = await settings();
  const out = output({ ...given, quiet });
  const { say, result, warn, emit, screen } = out;
  const hub = programHub(screen);
  const { texts: prompts, specialTokens } = await runPrompts(given, {
    hub,
    builtIn: TRAINING_PROMPTS,
  });
  const goesOn = point?.run !== undefined && resolve(point.run) === resolve(given.out);
  if (!goesOn) await RunFolder.checkFree(given.out);
  const heldOut = given.evalResponses > 0 ? HELD_OUT_PROMPTS : [];
  const limits = await adapterLimits();
  const asked = { training: prompts, evaluation: HELD_OUT_PROMPTS };
  const inputs = await planInputs({ ...given, specialTokens }, asked, { limits, hub });
  await expectFit(given.model || "weights/review-gpt2", inputs); // before anything is downloaded
  const model = given.model && (await findModel(given.model, hub)).name;
  const config = { ...given, specialTokens, model }; // a branch on the Hub moves, the run's model does not

  using sentinel = new Sentinel({
    gpuTimeout: config.gpuTimeout,
    advice: `go on with --resume ${config.out}, or allow more time with --gpu-timeout`,
  });
  await using page = dashboard === undefined ? undefined : await LivePage.open({ port: dashboard });
  if (page) result(`live page: ${page.url}`);
  const stopped = new AbortController(); // by the page
  const signal = AbortSignal.any([sentinel.stop, stopped.signal]);
  using trainers = new DisposableStack();
  let choices: Readonly<Record<string, string>> = {};
  const open = async (checkpoint: string | undefined): Promise<PpoTrainer> => {
    const options = { ...config, hub, say: hub.say, watcher: sentinel };
    const trainer = trainers.use(
      checkpoint ? await PpoTrainer.resume(checkpoint, options) : await PpoTrainer.create(options),
    );
    const { tuning } = trainer.gpu;
    tuning.load({ ...choices, ...tuning.choices }); // a resumed run keeps to its own
    return trainer;
  };
  let trainer = await open(point?.checkpoint?.folder);
  trainer.checkPrompts([...prompts, ...heldOut]);
  const begun = trainer.steps;
  using folder = goesOn // from here on only training can fail
    ? await RunFolder.reopen(config.out, config, begun)
    : await RunFolder.create(config.out, config);
  if (point?.run !== undefined && !goesOn) await folder.copyLines(point.run, begun);
  const { gpu, policy } = trainer;
  const name = config.model || "weights/review-gpt2";
  const adapters = policy.adapters ? `, of adapters ${policy.trained.layout.count} more` : "";
  say(
    `policy ${name}: ${policy.layout.count} parameters${adapters}, on ${gpu.description}`,
    "bold",
  );
  if (point) say(describeResume(trainer, point));
  emit({
    event: "start",
    program: "train",
    model: name,
    adapter: gpu.description,
    parameters: policy.trained.layout.count,
    steps: config.steps,
    ...(point && { resumedAfter: begun }),
    ...(page && { page: page.url }),
  });

  const measured = await TuningFile.of(gpu, Deno.env);
  gpu.tuning.load({ ...await measured.read(), ...gpu.tuning.choices });
  const isNew = await warmUp(gpu, inputs, screen);
  choices = gpu.tuning.choices;
  if (isNew) await measured.write(choices);
  await folder.writeEnvironment(trainer);

  await using services = new AsyncDisposableStack();
  const sinks = await runSinks(config, { env: Deno.env, warn });
  for (const sink of sinks) services.use(sink);

  const train = async (trainer: PpoTrainer): Promise<void> => {
    const keeper = new CheckpointKeeper(folder, config);
    using bar = trainingBar(screen);
    const callbacks: TrainerCallback[] = [
      folder.recorder(),
      csvLogger(join(folder.path, "metrics.csv")),
      tensorBoard(folder.path, { textEvery: config.sampleEvery }),
      ...sinks,
      ...showTraining(out, config.sampleEvery),
      bar,
    ];
    try {
      if (page) {
        const save = async (trainer: PpoTrainer) => {
          await keeper.save(trainer);
          return folder.checkpoint(trainer.steps);
        };
        callbacks.push(steering(page, { name: folder.path, save, stop: () => stopped.abort() }));
      }
      await trainer.train({ prompts, callbacks: [...callbacks, keeper], signal });
    } catch (error) {
      if (error instanceof RewardError) await keepSteps(error, { trainer, keeper });
      throw error;
    }
    await keeper.save(trainer);
  };
  try {
    trainer = await trainThroughLoss(trainer, { folder, train, open, say: warn });
  } catch (error) {
    await writeReport(folder.path).catch(() => {}); // why training ended matters more than a report of it
    throw error;
  }
  if (sentinel.stop.aborted) {
    await writeReport(folder.path);
    result(`stopped after step ${trainer.steps}; to go on: --resume ${folder.path}`);
    emit({ event: "end", steps: trainer.steps, folder: folder.path, stopped: true });
    Deno.exitCode = sentinel.status;
    return;
  }

  if (config.saveMerged) {
    await trainer.policy.savePretrained(join(folder.path, "merged"), {
      merged: true,
      card: trainer.card({ merged: true }),
    });
  }
  const evaluate = async (who: "policy" | "reference"): Promise<Evaluation | undefined> => {
    const responses = config.evalResponses;
    if (responses === 0) return undefined;
    say(`${who}: ${responses} responses to held-out prompts`);
    return await withEvaluationBar(
      screen,
      responses,
      (options) =>
        who === "policy"
          ? trainer.evaluate(HELD_OUT_PROMPTS, options)
          : trainer.evaluateReference(HELD_OUT_PROMPTS, options),
    );
  };
  const after = await evaluate("policy");
  const before = await evaluate("reference"); // only now, so that nobody waits for a first step: it has not changed
  if (before && after) {
    emit({ event: "evaluation", of: "before", ...summary(before) });
    emit({ event: "evaluation", of: "after", ...summary(after) });
    await folder.writeEvaluations({ before, after });
    const readme = join(folder.checkpoint(trainer.steps), "README.md");
    await writeFileAtomic(readme, trainer.card({ evaluations: { before, after } }));
    for (const line of ["", ...comparison(before, after, { columns: screen.columns })]) {
      result(line);
    }
  }
  await writeReport(folder.path);
  result(`\nrun folder ${folder.path}, policy in ${folder.checkpoint(trainer.steps)}`, "bold");
  const best = await bestCheckpoint(folder.path);
  if (best) result(`best checkpoint by ${config.bestMetric}: ${best}`);
  emit({
    event: "end",
    steps: trainer.steps,
    folder: folder.path,
    ...(best && { best }),
    ...(stopped.signal.aborted && { stopped: true }),
    ...(before && { before: summary(before) }),
    ...(after && { after: summary(after) }),
  });
}

/** After a reward has failed: saves the steps that were taken, and says how to go on with them. */
async function keepSteps(
  error: RewardError,
  { trainer, keeper }: { trainer: PpoTrainer; keeper: CheckpointKeeper },
): Promise<void> {
  await keeper.save(trainer);
  if (trainer.steps === 0) return;
  error.message +=
    `; the run is kept up to step ${trainer.steps}, to go on: --resume ${keeper.folder.path}`;
}

/** Where the run goes on, and what is other than before. */
function describeResume(
  { steps, resumes }: PpoTrainer,
  { run, checkpoint }: ResumePoint,
): string {
  if (!checkpoint) return `${run} has no checkpoint yet: it begins again`;
  const { changed = {}, adapterBefore } = resumes.at(-1) ?? {};
  const changes = Object.entries(changed).map(([name, values]) =>
    `${name} ${values.map((value) => JSON.stringify(value)).join(" -> ")}`
  );
  const moved = adapterBefore
    ? [`the adapter was ${adapterBefore.description}, so numbers round otherwise from here on`]
    : [];
  return [`resumed from ${checkpoint.folder} after step ${steps}`, ...changes, ...moved].join("; ");
}

/** Defaults, or those of the run that is resumed < config file < environment < flags. */
async function settings(): Promise<
  {
    given: TrainConfig;
    point: ResumePoint | undefined;
    dashboard: number | undefined;
    quiet: boolean | undefined;
  }
> {
  const { config: path, resume, dashboard, quiet, ...flags } = command.parse(Deno.args, {
    from: "user",
  })
    .opts();
  const point = resume === undefined ? undefined : await findResumePoint(resume);
  const file = path === undefined
    ? undefined
    : translateTrl(await readConfigFile(path), console.error);
  const env = settingVariables();
  return {
    given: resolveConfig({ resumed: point?.settings, file, env, flags }),
    point,
    dashboard: dashboard === true ? 0 : dashboard,
    quiet,
  };
}
