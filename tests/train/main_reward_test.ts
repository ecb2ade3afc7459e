/** Rewards of all kinds, and rewards that fail, through the programs. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import type { Sample } from "../../reward/reward.ts";
import { DISTILBERT } from "../helpers/classifiers.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { assertRefused, endOf, eventsOf, runProgram } from "../helpers/program.ts";

/** Two steps in seconds. */
const SHORT = [
  ["--model", GPT2],
  ["--steps", "2"],
  ["--batch-size", "4"],
  ["--mini-batch-size", "4"],
  ["--epochs", "1"],
  ["--max-new-tokens", "6"],
  ["--eval-responses", "0"],
].flat();

/** The metrics of a run, a line a step. */
async function metricsOf(run: string): Promise<Record<string, number>[]> {
  const text = await Deno.readTextFile(join(run, "metrics.jsonl"));
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Runs a test with a folder of files, and a program that trains into it. */
function withRuns(
  files: Record<string, string>,
  test: (
    folder: string,
    train: (reward: string, ...flags: string[]) => ReturnType<typeof runProgram>,
  ) => Promise<void>,
): Promise<void> {
  return withFolder(async (folder) => {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    await test(
      folder,
      (reward, ...flags) =>
        runProgram("train", [...SHORT, "--out", join(folder, "run"), "--reward", reward, ...flags]),
    );
  });
}

Deno.test("train takes a classifier's folder, and eval its reward from the run", () =>
  withRuns({}, async (folder, train) => {
    const { code, stderr } = await train(
      DISTILBERT,
      "--negative-factor",
      "-1",
      "--reward-clip",
      ".5",
    );
    assertEquals([code, stderr], [0, ""]);
    const run = join(folder, "run");
    for (const metrics of await metricsOf(run)) {
      const score = metrics["objective/scores"]!; // this classifier finds everything negative
      assert(score < -0.5 && score >= -1, `${score}`);
      assertEquals(metrics["rewards/sentiment/mean"], score);
      assertEquals(metrics["ppo/mean_scores"], -0.5);
      assertEquals(metrics["rewards/source"], 0);
    }
    const result = await runProgram("eval", ["--model", run, "--responses", "4", "--json"]);
    assert(endOf(result).reference!.meanScore < -0.5, result.stdout);
  }));

Deno.test("train takes a service on this machine, and eval another reward than the run", () =>
  withRuns(
    { "e.ts": "export default (samples) => samples.map(() => 7);" },
    async (folder, train) => {
      const seen: Sample[] = [];
      await using server = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen() {} },
        async (request) => {
          const { samples } = await request.json();
          seen.push(...samples);
          return Response.json({ scores: samples.map((_: Sample, i: number) => i) });
        },
      );
      const { code, stderr } = await train(`http://127.0.0.1:${server.addr.port}/`);
      assertEquals([code, stderr], [0, ""]);
      assertEquals((await metricsOf(join(folder, "run"))).map((line) => line["objective/scores"]), [
        1.5,
        1.5,
      ]);
      assertEquals(seen.length, 8);
      assert(
        seen.every(({ prompt, text, ended }) =>
          text.startsWith(prompt) && typeof ended === "boolean"
        ),
      );
      const flags = ["--model", join(folder, "run"), "--responses", "4", "--json"];
      const result = await runProgram("eval", [...flags, "--reward", join(folder, "e.ts")]);
      assertEquals(endOf(result).policy?.meanScore, 7);
    },
  ));

const FAULTY: Record<string, [answer: string, says: RegExp]> = {
  "throws": [
    'throw new Error("out of order");',
    /the reward mine: it failed on 4 samples: out of order; the run is kept up to step 1, to go on: --resume /,
  ],
  "hangs": [
    "return new Promise(() => {});",
    /the reward mine: it has not scored 4 samples within 2000 ms/,
  ],
};
for (const [what, [answer, says]] of Object.entries(FAULTY)) {
  Deno.test(`train ends in one line and keeps its steps where a reward ${what}`, () => {
    const module = `let calls = 0;
      export default function (samples) {
        if (++calls === 2) { ${answer} }
        return samples.map(({ response }) => response.length);
      }`;
    return withRuns({ "mine.ts": module }, async (folder, train) => {
      const path = join(folder, "mine.ts");
      const run = join(folder, "run");
      assertRefused(await train(path, "--reward-timeout", "2000", "--seed", "3"), says);
      assertEquals((await metricsOf(run)).map(({ step }) => step), [1]);
      assert((await listTree(run)).includes("checkpoints/step-000001/model.safetensors"));
      if (what !== "throws") return; // the rest is the same

      const resumed = await runProgram("train", ["--resume", run]); // a fresh process counts anew
      assertEquals([resumed.code, resumed.stderr], [0, ""]);
      assertEquals((await metricsOf(run)).map(({ step }) => step), [1, 2]);
    });
  });
}

Deno.test("train leaves every step's line, a report and what to do where the guard ends the run", () =>
  withRuns(
    { "mine.ts": "export default (samples) => samples.map(() => NaN);" },
    async (folder, train) => {
      const run = join(folder, "run");
      const outcome = await train(join(folder, "mine.ts"), "--guard-skips", "0", "--quiet");
      assertMatch(outcome.stdout, /^guard, step 1, non_finite_reward: .*\n$/);
      assertRefused(
        outcome,
        /^error: Cannot train on after step 1: reward mine: .* NaN .*; repair the reward; .*, to go on: --resume /,
      );
      assertEquals((await metricsOf(run)).map(({ step }) => step), [1]);
      const report = await Deno.readTextFile(join(run, "report.html"));
      assertMatch(report, /<td>non_finite_reward<\/td><td>stop<\/td>/);
    },
  ));

Deno.test("train goes on with the heuristic where a classifier is broken, and says so on stderr", () =>
  withRuns({}, async (folder, train) => {
    const model = join(folder, "broken");
    await Deno.mkdir(model);
    await Deno.copyFile(`${DISTILBERT}/config.json`, `${model}/config.json`);
    const outcome = await train(model, "--json");
    assertEquals(outcome.code, 0);
    assertMatch(
      outcome.stderr,
      /^The reward broken cannot be used \(.*\); heuristic scores instead\n$/,
    );
    const first = eventsOf(outcome).find((event) => event.event === "step");
    assertEquals(first?.metrics["rewards/source"], 1);
  }));

const REFUSED: Record<string, [reward: string, says: RegExp]> = {
  "a URL with a password": [
    "https://me:hunter2@scores.example/s",
    /reward "https:\/\/…@scores\.example\/s" \(flag --reward\): it must be .*\.toml/,
  ],
  "a folder that is not there": ["./none", /^error: Cannot open the model folder \.\/none: /],
  "a module that is not there": ["none.ts", /^error: Cannot load the reward none\.ts: /],
  "a file of parts that is not there": [
    "none.toml",
    /Cannot read the config file none\.toml: there is none/,
  ],
  "a URL that is none": [
    "http://",
    /Cannot use the reward http: its URL is not one of http or https/,
  ],
};
for (const [what, [reward, says]] of Object.entries(REFUSED)) {
  Deno.test(`train refuses ${what} in one line and leaves nothing`, () =>
    withRuns({}, async (folder, train) => {
      assertRefused(await train(reward), says);
      assertEquals(await listTree(folder), []);
    }));
}

Deno.test("train says how to permit a service elsewhere", () =>
  withRuns({}, async (_, train) => {
    assertRefused(
      await train("https://scores.example/x?mode=hidden"),
      /reward http at https:\/\/scores\.example\/x: .* Deno may not reach it; start it with --allow-net=scores\.example\b/,
    );
  }));
