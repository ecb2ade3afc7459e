import { assert, assertEquals, assertMatch } from "@std/assert";
import { loadSequenceClassifier } from "../../model/sequence_classifier_weights.ts";
import type { RewardEvaluation } from "../../train/reward_evaluation.ts";
import { DISTILBERT } from "../helpers/classifiers.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertRefused, endOf, eventsOf, runProgram } from "../helpers/program.ts";

const [FINE, DULL] = [["good", "great", "best"], ["bad", "dull", "worst"]];

/** Short reviews whose label is plain; enough for a tiny model to learn from. */
function reviews(count: number): { text: string; label: number; source: string }[] {
  const subjects = ["film", "story", "cast", "plot", "music", "ending", "scene"];
  return Array.from({ length: count }, (_, i) => {
    const word = (i % 2 === 1 ? FINE : DULL)[i % 3];
    const text = `the ${subjects[i % 7]} of part ${i} is ${word}`;
    return { text, label: i % 2, source: i % 5 === 0 ? "shop" : "press" };
  });
}

async function writeLines(path: string, records: readonly unknown[]): Promise<void> {
  await Deno.writeTextFile(path, records.map((record) => JSON.stringify(record) + "\n").join(""));
}

Deno.test("reward trains a fresh classifier on labels, keeps the best, and saves one that loads", () =>
  withFolder(async (folder) => {
    const data = reviews(240);
    await writeLines(`${folder}/train.jsonl`, data.slice(0, 200));
    await writeLines(`${folder}/val.jsonl`, [...data.slice(198), {
      text: "a good film ".repeat(40), // longer than the context
      label: "POSITIVE",
    }]);
    await writeLines(`${folder}/weak.jsonl`, reviews(20));
    const { code, stdout, stderr } = await runProgram("reward", [
      ...["--data", `${folder}/train.jsonl`, "--val", `${folder}/val.jsonl`],
      ...["--weak", `${folder}/weak.jsonl:0.5`, "--weak-epochs", "1", "--share", "shop:0.5"],
      ...["--model", `init:${DISTILBERT}`, "--out", `${folder}/out`, "--epochs", "4"],
      ...["--batch-size", "8", "--learning-rate", "0.003", "--label-smoothing", "0.05"],
      ...["--word-dropout", "0.05", "--gradient-accumulation", "2", "--balance", "--crop", "0.1"],
    ]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /train\.jsonl: left out 2 records that are held out too\n/);
    assertMatch(stdout, /val\.jsonl: cut 1 texts to the model's context of 64 tokens\n/);
    assertMatch(stdout, /, with a new head; 198 labels and 43 held out, 94 steps\n/);
    assertMatch(
      stdout,
      /^epoch 1\/4 \| step 20\/94 \| loss 0\.\d{4} \| grad norm +\S+ \| \S+ steps\/s$/m,
    );
    const best = stdout.match(
      /^saved (\S+): accuracy (\S+) of 43 \(press \S+ of 34, shop \S+ of 8\) \| loss \S+$/m,
    )!;
    assertEquals(best[1], `${folder}/out`);
    assert(Number(best[2]) > 0.9, stdout);
    assertEquals(await listTree(`${folder}/out`), [
      ...["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    ]);
    await withGpu(async (gpu) => {
      using model = await loadSequenceClassifier(gpu, `${folder}/out`);
      const [good, bad] = await model.classify(["the film is great", "the film is worst"]);
      assertEquals([good.label, bad.label], ["POSITIVE", "NEGATIVE"]);
    });
  }));

for (const [name, source] of [["DistilBERT", DISTILBERT], ["GPT-2", GPT2]]) {
  Deno.test(`reward trains ${name} with a new head on pairs, and goes on from there`, () =>
    withFolder(async (folder) => {
      const pairs = reviews(120).map(({ text }, i) => ({
        prompt: "I say: ",
        chosen: text.replace(/\w+$/, FINE[i % 3]),
        rejected: text.replace(/\w+$/, DULL[i % 3]),
      }));
      await writeLines(`${folder}/pairs.jsonl`, pairs);
      const run = (model: string, ...flags: string[]) =>
        runProgram("reward", [
          ...["--data", `${folder}/pairs.jsonl`, "--model", model, "--out", `${folder}/out`],
          ...["--batch-size", "8", "--centring", "0.01", ...flags],
        ]);
      const { code, stdout, stderr } = await run(source, "--learning-rate", "0.002");
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout, /, with a new head; 108 pairs and 12 held out, 56 steps\n/);
      const figures = stdout.match(
        /^saved \S+: accuracy (\S+) of 12 \| loss \S+ \| margin (\S+) \+- \S+, \S+ to \S+$/m,
      )!;
      assert(Number(figures[1]) > 0.9 && Number(figures[2]) > 0, stdout);

      const flags = ["--epochs", "1", "--learning-rate", "1e-9", "--json"];
      const more = await run(`${folder}/out`, ...flags);
      assertEquals([more.code, more.stderr], [0, ""]);
      assertEquals(eventsOf(more).map(({ event }) => event), [
        ...["start", "step", "evaluation", "checkpoint", "end"],
      ]);
      const { accuracy } = endOf(more).validation as RewardEvaluation;
      assertEquals(accuracy.toFixed(4), figures[1]); // the head is not a new one
    }));
}

const LABELS = reviews(20);
const REFUSED: [what: string, data: readonly unknown[], flags: string[], says: RegExp][] = [
  ["a broken line", [...LABELS, { text: "x" }], [], /data\.jsonl, line 21: "label" is missing/],
  ["one class only", [LABELS[0], LABELS[2]], [], /every text has the label 0; add texts/],
  ["no data", [], [], /data\.jsonl: it is empty/],
  [
    "a label that the model lacks",
    [...LABELS, { text: "x", label: 2 }],
    [],
    /line 21: its label is 2/,
  ],
  ["validation that is the data", LABELS, ["--val", "data.jsonl"], /nothing is left of it/],
  [
    "pairs to validate labels",
    LABELS,
    ["--val", "pairs.jsonl"],
    /it has pairs, and that has labels/,
  ],
  ["pairs with two labels", [{ chosen: "a", rejected: "b" }, { chosen: "c", rejected: "d" }], [
    ...["--labels", "a,b"],
  ], /on pairs with the labels a, b: a score has one/],
  ["labels with one label", LABELS, ["--labels", "a"], /nothing to tell apart/],
  ["no labels for a language model", LABELS, ["--model", GPT2], /no classifier yet; .*--labels/],
  ["word dropout without words", LABELS, [
    ...["--model", GPT2, "--labels", "a,b", "--word-dropout", "0.1"],
  ], /Cannot take words from texts/],
  ["a missing file", LABELS, ["--weak", "none.jsonl:1"], /none\.jsonl: there is no such file/],
  ["weak data without a weight", LABELS, ["--weak", "none.jsonl"], /--weak.*weak\.jsonl:0\.3/],
  ["a share of nothing", LABELS, ["--share", "shop:0"], /--share.*above 0/],
  ["equal labels", LABELS, ["--labels", "a,a"], /--labels.*different names/],
  ["a missing model", LABELS, ["--model", "init:/none"], /\/none/],
];
for (const [what, data, flags, says] of REFUSED) {
  Deno.test(`reward refuses ${what} in one line and leaves nothing`, () =>
    withFolder(async (folder) => {
      await writeLines(`${folder}/data.jsonl`, data);
      await writeLines(`${folder}/pairs.jsonl`, [{ chosen: "a", rejected: "b" }]);
      const paths = flags.map((flag) => /^\w+\.jsonl/.test(flag) ? `${folder}/${flag}` : flag);
      const outcome = await runProgram("reward", [
        ...["--data", `${folder}/data.jsonl`, "--model", `init:${DISTILBERT}`],
        ...["--out", `${folder}/out`, ...paths],
      ]);
      assertRefused(outcome, says);
      assertEquals(await listTree(folder), ["data.jsonl", "pairs.jsonl"]);
    }));
}

Deno.test("reward refuses adapters, and says how they become a model", () =>
  withFolder(async (folder) => {
    await writeLines(`${folder}/data.jsonl`, LABELS);
    await Deno.mkdir(`${folder}/lora`);
    await Deno.writeTextFile(`${folder}/lora/adapter_config.json`, "{}");
    const flags = ["--data", `${folder}/data.jsonl`, "--out", `${folder}/out`];
    const outcome = await runProgram("reward", [...flags, "--model", `${folder}/lora`]);
    assertRefused(outcome, /it holds adapters; make a whole model of them with deno task export/);
  }));

Deno.test("reward says which flag is missing", async () => {
  assertRefused(await runProgram("reward", ["--data", "a", "--out", "b"]), /--model/);
});
