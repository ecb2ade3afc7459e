import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import type { EvaluationSummary } from "../../train/comparison.ts";
import { isTimeMetric } from "../../train/metric_table.ts";
import type { ProgramEvent, SampleEvent, StartEvent } from "../../train/program_events.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { changeWeights, copyGpt2, GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertRefused, eventsOf, runProgram } from "../helpers/program.ts";

/** A run of seconds. */
const SHORT = [
  ["--model", GPT2],
  ["--steps", "2"],
  ["--batch-size", "4"],
  ["--mini-batch-size", "4"],
  ["--epochs", "2"],
  ["--max-new-tokens", "6"],
  ["--eval-responses", "4"],
].flat();

type Metrics = Record<string, number | null>;

function jsonLines<T>(text: string): T[] {
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

async function metricsOf(run: string): Promise<Metrics[]> {
  return jsonLines(await Deno.readTextFile(`${run}/metrics.jsonl`));
}

function withoutTimes(metrics: Metrics[]): Metrics[] {
  return metrics.map((line) =>
    Object.fromEntries(Object.entries(line).filter(([name]) => !isTimeMetric(name)))
  );
}

Deno.test("a training run leaves a whole run folder, and repeats itself under one seed", (t) =>
  withFolder(async (folder) => {
    const train = (name: string, ...flags: string[]) =>
      runProgram("train", [...SHORT, "--out", `${folder}/${name}`, ...flags]);

    await t.step("text: progress, a sample, a table", async () => {
      const { code, stdout, stderr } = await train("a", "--seed", "1", "--sample-every", "2");
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout, /^policy .*fixtures\/gpt2: 112609 parameters, on \S/);
      assertMatch(stdout, /^step 1\/2 \| reward +\S+ \| kl \S+ \| .* tok\/s \| +\d+ ms$/m);
      assertMatch(stdout, /^step 2\/2 .*\n {4}prompt +response +reward\n {4}\S.* -?\d+\.\d\d$/m);
      assert(!stdout.includes("\x1b"));
      assertMatch(stdout, /^ +before +after\nmean reward +\S+ +\S+\nstandard error /m);
      assertMatch(stdout, /^KL to reference, nats\/token +0\.0000 +0\.\d+$/m);
      assertMatch(stdout, /over 4 responses each\.\n/);
    });

    await t.step("the folder: settings, metrics, samples, checkpoint", async () => {
      const run = `${folder}/a`;
      const files = (await listTree(run)).filter((path) => !path.startsWith("checkpoints/"));
      assertEquals(files.map((path) => path.replace(/(tfevents).*/, "$1")), [
        ".lock",
        "best",
        "config.json",
        "environment.json",
        "evaluation.json",
        "events.out.tfevents",
        "latest",
        "metrics.csv",
        "metrics.jsonl",
        "report.html",
        "samples.jsonl",
      ]);
      const config = JSON.parse(await Deno.readTextFile(`${run}/config.json`));
      assertEquals([config.seed, config.steps, config.clipRange], [1, 2, 0.2]);

      const metrics = await metricsOf(run);
      assertEquals(metrics.map(({ step }) => step), [1, 2]);
      assertEquals(metrics.map(({ episode }) => episode), [4, 8]);
      for (const line of metrics) {
        for (const name of ["objective/kl", "objective/kl_full", "ppo/mean_scores", "lr"]) {
          assert(Number.isFinite(line[name]), `${name} is ${line[name]}`);
        }
        assert(Math.abs(line["ppo/policy/ratio"]! - 1) < 0.1);
      }
      assertEquals(metrics[0]["objective/kl"], 0);

      type Sample = Record<"step" | "prompt" | "response" | "score" | "kl", unknown>;
      const samples = jsonLines<Sample>(await Deno.readTextFile(`${run}/samples.jsonl`));
      assertEquals(samples.map(({ step }) => step), [1, 1, 1, 1, 2, 2, 2, 2]);
      assert(samples.every(({ prompt, response }) => `${prompt}` !== "" && response !== undefined));

      assertEquals(await Deno.readTextFile(`${run}/latest`), "checkpoints/step-000002\n");
      assertEquals(await listTree(`${run}/checkpoints`), [
        "step-000002/README.md",
        "step-000002/config.json",
        "step-000002/generation_config.json",
        "step-000002/model.safetensors",
        "step-000002/optimizer.safetensors",
        "step-000002/tokenizer.json",
        "step-000002/tokenizer_config.json",
        "step-000002/trainer_state.json",
      ]);
      const card = await Deno.readTextFile(`${run}/checkpoints/step-000002/README.md`);
      assertMatch(card, /^---\nlibrary_name: transformers\n/);
      assertMatch(card, / after 2 steps of RLHF with PPO by KL Guard: 8 responses/);
      assertMatch(card, /^mean reward +\S+ +\S+$/m); // before and after
    });

    await t.step(
      "the checkpoint is the trained policy, with its value head",
      () =>
        withGpu(async (gpu) => {
          const path = `${folder}/a/checkpoints/step-000002`;
          using policy = await loadCausalLM(gpu, path, { valueHead: true });
          const head = await gpu.read(policy.values.get("v_head.summary.weight"));
          assert(head.some((x) => x !== 0), "the value head is still zero");
          using start = await loadCausalLM(gpu, GPT2);
          const wte = (model: typeof policy) => gpu.read(model.values.get("wte.weight"));
          assertNotEquals(await wte(policy), await wte(start));
        }),
    );

    await t.step(
      "JSON: events as lines and nothing else; the same seed, the same metrics",
      async () => {
        const outcome = await train("b", "--seed", "1", "--sample-every", "2", "--json");
        assertEquals([outcome.code, outcome.stderr], [0, ""]);
        const run = `${folder}/b`;
        const checkpoint = `${run}/checkpoints/step-000002`;
        const metrics = await metricsOf(run);
        const [start, ...events] = eventsOf(outcome);
        const { adapter, ...begun } = start as StartEvent;
        assert(adapter !== "");
        assertEquals(begun, {
          ...{ event: "start", program: "train", model: GPT2 },
          ...{ parameters: 112609, steps: 2 },
        });
        assertEquals(events.map(({ event }) => event), [
          ...["checkpoint", "step", "step", "sample", "sample", "sample"],
          ...["checkpoint", "evaluation", "evaluation", "end"],
        ]);
        const of = <E extends ProgramEvent["event"]>(name: E) =>
          events.filter((event): event is ProgramEvent & { event: E } => event.event === name);
        assertEquals(of("step").map(({ metrics }) => metrics as unknown), metrics);
        const samples = jsonLines<SampleEvent>(await Deno.readTextFile(`${run}/samples.jsonl`));
        assertEquals(
          of("sample"),
          samples.slice(4, 7).map(({ step, prompt, response, score, kl }) => (
            { event: "sample", step, prompt, response, score, kl }
          )),
        );
        const evaluations = of("evaluation");
        const [{ event: _1, of: _2, ...before }, { event: _3, of: _4, ...after }] = evaluations;
        assertEquals(of("end"), [{
          ...{ event: "end", steps: 2, folder: run, best: checkpoint },
          ...{ before: before as EvaluationSummary, after: after as EvaluationSummary },
        }]);
        assertEquals(withoutTimes(metrics), withoutTimes(await metricsOf(`${folder}/a`)));
        const policy = (run: string) =>
          Deno.readFile(`${folder}/${run}/checkpoints/step-000002/model.safetensors`);
        assertEquals(await policy("a"), await policy("b"));
      },
    );

    await t.step("another seed, other metrics; a table only where it is asked for", async () => {
      const flags = ["--seed", "2", "--eval-responses", "0", "--save-every", "1"];
      const { code, stdout, stderr } = await train("c", ...flags, "--quiet");
      assertEquals([code, stderr], [0, ""]);
      const [run, checkpoint] = [`${folder}/c`, `${folder}/c/checkpoints/step-00000`];
      assertMatch(
        stdout, // the result, and nothing of the way there
        new RegExp(
          `^\\nrun folder ${run}, policy in ${checkpoint}2\\nbest .*: ${checkpoint}\\d\\n$`,
        ),
      );
      const [a, c] = [await metricsOf(`${folder}/a`), await metricsOf(`${folder}/c`)];
      assertNotEquals(withoutTimes(c), withoutTimes(a));
      const saved = Array.from(Deno.readDirSync(`${folder}/c/checkpoints`), ({ name }) => name);
      assertEquals(saved.toSorted(), ["step-000001", "step-000002"]);
    });
  }));

Deno.test("--help lists the flags in groups with what is allowed and their defaults", async () => {
  const { code, stdout } = await runProgram("train", ["--help"]);
  assertEquals(code, 0);
  assertEquals(stdout.match(/^\w.*:$/gm), [
    ...["Run:", "Model:", "Reward:", "Data:", "PPO:", "Memory:", "Optimisation:", "LoRA:", "KL:"],
    ...["Generation:", "Guard:", "Checkpoints:", "Output:", "Options:", "Examples:"],
  ]);
  const words = stdout.replaceAll(/\s+/g, " ");
  assertMatch(
    words,
    /--batch-size <number> responses per PPO step \(a whole number of 1 or more; /,
  );
  assertMatch(
    words,
    /--kl-controller <text> [^(]+\(one of band, proportional, fixed; default band\)/,
  );
  assertMatch(words, /--clip-range <number> [^(]+\(a number above 0; default 0\.2\)/);
  assertMatch(words, /--whiten-advantages [^(]+\(default; --no-whiten-advantages turns it off\)/);
});

/** Something that cannot be trained: what `prepare` puts into a folder, the flags, the complaint. */
interface Refusal {
  what: string;
  prepare?: (folder: string) => Promise<void>;
  flags: (folder: string) => string[];
  env?: Record<string, string>;
  says: RegExp;
}

/** A refusal of the model folder that `change` broke. */
function brokenModel(
  what: string,
  change: (model: string) => Promise<void>,
  says: RegExp,
): Refusal {
  return {
    what,
    prepare: async (folder) => {
      await copyGpt2(`${folder}/model`);
      await change(`${folder}/model`);
    },
    flags: (folder) => ["--model", `${folder}/model`],
    says,
  };
}

/** A refusal of a file that `flag` names. */
function brokenFile(
  what: string,
  { flag, name, content }: { flag: string; name: string; content: string },
  says: RegExp,
): Refusal {
  return {
    what,
    prepare: (folder) => Deno.writeTextFile(`${folder}/${name}`, content),
    flags: (folder) => [flag, `${folder}/${name}`],
    says,
  };
}

async function changeConfig(model: string, change: Record<string, unknown>): Promise<void> {
  const path = `${model}/config.json`;
  const config = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...config, ...change }));
}

const REFUSED: Refusal[] = [
  { what: "an unknown flag", flags: () => ["--stepz", "3"], says: /--stepz.*--steps/ },
  { what: "a stray word", flags: () => ["now"], says: /argument.*now/ },
  { what: "a flag without its value", flags: () => ["--epochs"], says: /--epochs/ },
  { what: "a number that is none", flags: () => ["--seed", "one"], says: /--seed.*'one'/ },
  { what: "a batch of 0", flags: () => ["--batch-size", "0"], says: /batchSize 0 \(flag --batch-/ },
  { what: "a KL target of -1", flags: () => ["--kl-target", "-1"], says: /klTarget -1 .*above 0/ },
  { what: "a top-p of 2", flags: () => ["--top-p", "2"], says: /topP 2 .* at most 1/ },
  {
    what: "an impossible environment variable",
    flags: () => [],
    env: { KL_GUARD_LR_SCHEDULE: "up" },
    says: /lrSchedule "up" \(environment variable KL_GUARD_LR_SCHEDULE\): .* one of constant/,
  },
  {
    what: "a misspelt environment variable",
    flags: () => [],
    env: { KL_GUARD_BACTH_SIZE: "4" },
    says:
      /bacth_size \(environment variable KL_GUARD_BACTH_SIZE\): .* did you mean KL_GUARD_BATCH_SIZE\?$/m,
  },
  brokenFile(
    "an unknown setting in a file",
    { flag: "--config", name: "run.toml", content: "steps = 2\nstepz = 3\n" },
    /stepz \(.*run\.toml, line 2\): .*did you mean steps/,
  ),
  brokenFile(
    "a broken config file",
    { flag: "--config", name: "run.json", content: '{"steps": 2,}' },
    /run\.json: line 1, column 13/,
  ),
  { what: "a missing config file", flags: () => ["--config", "/none.yaml"], says: /\/none\.yaml/ },
  { what: "a missing model folder", flags: () => ["--model", "/none/here"], says: /\/none\/here/ },
  brokenModel(
    "cut-off weights",
    (model) => Deno.truncate(`${model}/model.safetensors`, 300_000),
    /model\.safetensors: it is cut off: its tensors end at byte 454000, the file at 300000/,
  ),
  brokenModel(
    "a broken config.json",
    (model) => Deno.writeTextFile(`${model}/config.json`, '{"n_layer": 3'),
    /model\/config\.json: line 1, column 14/,
  ),
  brokenModel(
    "a missing tensor",
    (model) =>
      changeWeights(model, (tensors) => tensors.filter(({ name }) => !/h\.0\.ln_1/.test(name))),
    /model\.safetensors: it has no tensor "transformer\.h\.0\.ln_1\.weight"/,
  ),
  brokenModel(
    "a tensor of the wrong shape",
    (model) => changeConfig(model, { n_inner: 96 }),
    /"transformer\.h\.0\.mlp\.c_fc\.weight" has the shape \[48,192\]/,
  ),
  brokenModel(
    "an unknown architecture",
    (model) => changeConfig(model, { model_type: "llama" }),
    /config\.json.*model_type is "llama", it must be "gpt2"/,
  ),
  { what: "a missing prompts file", flags: () => ["--prompts", "/none.txt"], says: /\/none\.txt/ },
  brokenFile(
    "an empty prompts file",
    { flag: "--prompts", name: "p.txt", content: "\n\n" },
    /p\.txt: it has no prompts/,
  ),
  brokenFile(
    "a prompt longer than the context",
    { flag: "--prompts", name: "p.txt", content: `it is\n${"what a film ".repeat(40)}` },
    /the prompt "what a film .*: it has \d+ tokens, and .* may have 64; shorten it$/m,
  ),
  {
    what: "held-out prompts longer than the limit",
    flags: () => ["--max-length", "8", "--max-new-tokens", "2"],
    says: /may have 8; shorten it or raise maxLength/,
  },
  {
    what: "a machine without an adapter",
    flags: () => [],
    env: { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
    says: /No WebGPU adapter was found; .*mesa-vulkan-drivers/,
  },
];

for (const { what, prepare, flags, env = {}, says } of REFUSED) {
  Deno.test(`train refuses ${what} in one line and leaves nothing`, () =>
    withFolder(async (folder) => {
      await prepare?.(folder);
      const before = await listTree(folder);
      const args = [...SHORT, "--out", `${folder}/runs/a`, ...flags(folder)];
      assertRefused(await runProgram("train", args, env), says);
      assertEquals(await listTree(folder), before);
    }));
}

Deno.test("train refuses a folder that holds a run or a model, and a path that cannot be one", () =>
  withFolder(async (folder) => {
    await copyGpt2(`${folder}/model`);
    const before = await listTree(folder);
    const train = (out: string) => runProgram("train", [...SHORT, "--out", out]);
    assertRefused(await train(`${folder}/model`), /model: it holds a run or a model; .*--out/);
    const file = `${folder}/model/config.json`;
    assertRefused(await train(`${file}/run`), /Cannot make the run folder .*config\.json\/run/);
    assertEquals(await listTree(folder), before);
  }));
