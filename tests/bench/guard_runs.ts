/**
 * Runs that are made to fail, each with the guard and without it: what does it catch, and is the run saved?
 *
 *     deno run --allow-read --allow-write --allow-env tests/bench/guard_runs.ts runs/guard [setting=value ...]
 *
 * A setting is one of `deno task train --help` in camelCase, such as `steps=20`. Writes a run folder for each, which
 * `deno task report` plots beside each other, and prints their curves as tables. Takes about ten minutes on two CPU cores.
 */
import { HeuristicReward } from "../../reward/heuristic.ts";
import type { Reward } from "../../reward/reward.ts";
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { RULES } from "../../train/guard_rules.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { HELD_OUT_PROMPTS } from "../../train/prompts.ts";
import { RunFolder } from "../../train/run_folder.ts";
import { readRun, type RunRecord } from "../../train/run_reader.ts";

interface Failure {
  name: string;
  what: string;
  options: PpoTrainerOptions;
  reward(): Reward;
  /** Settings of the run that is left alone. */
  alone: PpoTrainerOptions;
}

/** All rules watch, and none acts. */
const WARN_ONLY = Object.entries(RULES)
  .filter(([, { actions }]) => (actions as readonly string[]).includes("warn"))
  .map(([name]) => `${name}=warn`).join();

const FAILURES: Failure[] = [
  {
    name: "collapse",
    what: "no KL, and a learning rate ten times that of the default run",
    options: { klController: "fixed", klCoef: 0, learningRate: 1e-3 },
    reward: () => new HeuristicReward(),
    alone: { guardActions: WARN_ONLY },
  },
  {
    name: "one-word",
    what: 'no KL, and a reward that pays for the word "good"',
    options: { klController: "fixed", klCoef: 0, learningRate: 3e-4 },
    reward: () => ({
      name: "good",
      score: (samples) => samples.map(({ response }) => response.match(/\bgood\b/gi)?.length ?? 0),
    }),
    alone: { guardActions: WARN_ONLY },
  },
  {
    name: "nan",
    what: "a score that is NaN at step 7",
    options: { klCoef: 0.4, klTarget: 0.08, klMin: 0.25 },
    reward() {
      const heuristic = new HeuristicReward();
      let calls = 0;
      return {
        name: "heuristic",
        score: (samples) => ++calls === 7 ? samples.map(() => NaN) : heuristic.score(samples),
      };
    },
    alone: { guard: false },
  },
];

const COMMON: PpoTrainerOptions = {
  seed: 1,
  steps: 40,
  batchSize: 16,
  miniBatchSize: 16,
  maxNewTokens: 16,
  learningRate: 1e-4,
  lrSchedule: "constant",
  saveEvery: 5,
  judge: "",
};

/** The metrics that the tables show. */
const COLUMNS = {
  "objective/scores": "reward",
  "objective/kl_full": "KL",
  "objective/kl_coef": "beta",
  "ppo/policy/entropy": "entropy",
  "guard/distinct": "distinct-2",
  "guard/reward_hacking": "perplexity",
};

const [path = "runs/guard", ...given] = Deno.args;
const settings = Object.fromEntries(given.map((pair) => {
  const [name, text] = pair.split("=");
  return [name, Number.isNaN(Number(text)) ? text : Number(text)];
}));

for (const failure of FAILURES) {
  console.log(`\n## ${failure.what}\n`);
  for (const [kind, options] of Object.entries({ alone: failure.alone, guarded: {} })) {
    const folder = `${path}/${failure.name}-${kind}`;
    const end = await train(folder, failure, options);
    print(kind === "alone" ? "Without the guard" : "With the guard", await readRun(folder), end);
  }
}

/** Trains into a folder; returns how that ended, and a text from the end. */
async function train(
  path: string,
  { options, reward }: Failure,
  more: PpoTrainerOptions,
): Promise<string> {
  using trainer = await PpoTrainer.create({
    ...COMMON,
    ...options,
    ...more,
    ...settings,
    reward: reward(),
  });
  using folder = await RunFolder.create(path, trainer.config);
  const keeper = new CheckpointKeeper(folder, trainer.config);
  try {
    await trainer.train({ callbacks: [folder.recorder(), keeper] });
  } catch (error) {
    return `ended by ${(error as Error).name}: ${(error as Error).message}`;
  }
  const { samples: [{ text }] } = await trainer.evaluate(HELD_OUT_PROMPTS.slice(0, 1));
  return `at the end it writes: ${text.replaceAll(/\s+/g, " ")}`;
}

function print(title: string, { metrics, events }: RunRecord, end: string): void {
  const names = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[];
  const cell = (value: unknown) => typeof value === "number" ? value.toFixed(2) : "";
  const row = (cells: string[]) => console.log(`| ${cells.join(" | ")} |`);
  console.log(`${title}; ${end}\n`);
  row(["step", ...Object.values(COLUMNS)]);
  row(["---", ...names.map(() => "---")]);
  for (const line of metrics) {
    const step = Number(line.step);
    if (step % 5 !== 0 && step !== 1) continue;
    row([String(step), ...names.map((name) => cell(line[name]))]);
  }
  console.log();
  for (const { step, rule, action, message } of events) {
    console.log(`- step ${step}, ${rule}: ${message} (${action})`);
  }
  console.log();
}
