import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "node:path";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import { loadSequenceClassifier } from "../../model/sequence_classifier_weights.ts";
import { type Reward, RewardError, scoreSamples } from "../../reward/reward.ts";
import { RewardLabelError } from "../../reward/sentiment.ts";
import { ConfigError } from "../../train/config.ts";
import { loadReward, type RewardSources } from "../../train/load_reward.ts";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { changeConfig, classifierGolden, copyModel, DISTILBERT } from "../helpers/classifiers.ts";
import { assertClose } from "../helpers/close.ts";
import { withFolder } from "../helpers/folder.ts";
import { withGpu } from "../helpers/gpu.ts";
import { samplesOf } from "../helpers/samples.ts";

const SAMPLES = samplesOf(" good", " bad");

/** Runs a test with a folder of files, a Gpu, and what a reward says while it is loaded and scores. */
function withFiles(
  files: Record<string, string>,
  test: (
    given: { folder: string; sources: RewardSources & { gpu: Gpu }; said: string[] },
  ) => Promise<void>,
): Promise<void> {
  return withFolder((folder) =>
    withGpu(async (gpu) => {
      for (const [name, text] of Object.entries(files)) {
        await Deno.writeTextFile(join(folder, name), text);
      }
      const said: string[] = [];
      await test({ folder, sources: { gpu, say: (line) => said.push(line) }, said });
    })
  );
}

/** Runs a test on the reward that a name stands for. */
async function withReward<T>(
  name: string,
  sources: RewardSources,
  test: (reward: Reward) => T | Promise<T>,
): Promise<T> {
  const reward = await loadReward(name, sources);
  try {
    return await test(reward);
  } finally {
    reward[Symbol.dispose]?.();
  }
}

Deno.test("loadReward() gives the heuristic by its name", () =>
  withFiles({}, async ({ sources }) => {
    const reward = await loadReward("heuristic", sources);
    assertEquals([reward.name, await reward.score(SAMPLES)], ["heuristic", [2, -2]]);
  }));

Deno.test("loadReward() gives the classifier of a folder, with transformers' rewards", () =>
  withFiles({}, async ({ sources, said }) => {
    const { texts, reward: expected } = await classifierGolden(DISTILBERT);
    const samples = texts.map((text) => ({ prompt: "", response: "unread", text, ended: true }));
    const atol = 1e-5; // float32 through two layers, on both sides
    await withReward(DISTILBERT, sources, async (reward) => {
      const { scores, parts, source } = await scoreSamples(reward, samples);
      assertClose(scores, expected, { atol });
      assertEquals([reward.name, source, said], ["distilbert", 0, []]);
      assertEquals(Object.keys(parts!), ["sentiment", "sentiment/truncated"]);
    });
    const sentiment = { positive: 1, positiveLabel: "NEGATIVE" };
    await withReward(DISTILBERT, { ...sources, sentiment }, async (reward) => {
      const { scores } = await scoreSamples(reward, samples);
      assertClose(scores, expected.map((score) => -2 * score), { atol });
    });
  }));

Deno.test("loadReward() takes a model with a single label for a preference model", () =>
  withFiles({}, async ({ folder, sources }) => {
    const model = join(folder, "scorer");
    const rng = new Rng(1);
    const options = { labels: ["LABEL_0"], normal: () => rng.normal() };
    using made = await loadSequenceClassifier(sources.gpu, DISTILBERT, options);
    await made.savePretrained(model);
    const expected = await made.classify(SAMPLES.map(({ text }) => text));
    await withReward(model, sources, async (reward) => {
      const { scores, parts } = await scoreSamples(reward, SAMPLES);
      assertEquals(scores, expected.map(({ logits }) => logits[0]));
      assertEquals(parts!["preference"], scores);
    });
  }));

Deno.test("loadReward() scores by the heuristic where a folder's classifier is broken, and says so", () =>
  withFiles({}, async ({ folder, sources, said }) => {
    const model = join(folder, "broken");
    await copyModel(DISTILBERT, model);
    await Deno.truncate(join(model, "model.safetensors"), 1000);
    await withReward(model, sources, async (reward) => {
      const { scores, source } = await scoreSamples(reward, SAMPLES);
      assertEquals([scores, source, said.length], [[2, -2], 1, 1]);
    });
    assertMatch(
      said[0]!,
      /^The reward broken cannot be used \(.*model\.safetensors.*\); heuristic scores/,
    );
  }));

Deno.test("loadReward() refuses a classifier whose labels are unclear, and a folder that is not there", () =>
  withFiles({}, async ({ folder, sources }) => {
    const model = join(folder, "moods");
    await copyModel(DISTILBERT, model);
    await changeConfig(model, { id2label: { 0: "glum", 1: "merry" } });
    await assertRejects(() => loadReward(model, sources), RewardLabelError, "labels glum, merry");
    assertEquals(sources.gpu.liveBytes, 0);
    const sentiment = { positiveLabel: "merry" };
    await withReward(model, { ...sources, sentiment }, ({ name }) => assertEquals(name, "moods"));
    await assertRejects(() => loadReward(join(folder, "none"), sources), ModelFolderError, "none");
  }));

const MODULES: Record<string, [code: string, name: string]> = {
  "a function": ["export default (samples) => samples.map((_, i) => i);", "mine"],
  "an async function, in TypeScript": [
    "export default async (samples: unknown[]): Promise<number[]> => samples.map((_, i) => i);",
    "mine",
  ],
  "an object": ["export default { score: (samples) => samples.map((_, i) => i) };", "mine"],
  "an object with a name": [
    'export default { name: "index", score: (samples) => samples.map((_, i) => i) };',
    "index",
  ],
  "an instance of a class": [
    "class Index { start = 0; score(samples) { return samples.map((_, i) => this.start + i); } }\n" +
    "export default new Index();",
    "mine",
  ],
};
for (const [what, [code, name]] of Object.entries(MODULES)) {
  Deno.test(`loadReward() takes a module that exports ${what}`, () =>
    withFiles(
      { "mine.ts": code },
      ({ folder, sources }) =>
        withReward(join(folder, "mine.ts"), sources, async (reward) => {
          assertEquals([reward.name, await reward.score(SAMPLES)], [name, [0, 1]]);
        }),
    ));
}

const BAD_MODULES: Record<string, [code: string, says: string]> = {
  "exports nothing": ["export const score = 1;", "its default export is neither a function nor"],
  "exports a number": ["export default 3;", "its default export is neither a function nor"],
  "throws": ['throw new Error("no model here");', "no model here"],
  "has broken syntax": ["export default (", "mine.ts"],
};
for (const [what, [code, says]] of Object.entries(BAD_MODULES)) {
  Deno.test(`loadReward() refuses a module that ${what}`, () =>
    withFiles({ "mine.ts": code }, async ({ folder, sources }) => {
      const path = join(folder, "mine.ts");
      const error = await assertRejects(() => loadReward(path, sources), RewardError, says);
      assert(error.message.startsWith(`Cannot load the reward ${path}: `), error.message);
    }));
}

Deno.test("loadReward() refuses a module that is not there", () =>
  withFiles({}, async ({ sources }) => {
    await assertRejects(() => loadReward("/none/mine.ts", sources), RewardError, "/none/mine.ts");
  }));

Deno.test("loadReward() gives the service at a URL", () =>
  withFiles({}, async ({ sources }) => {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => Response.json({ scores: [3, 4] }),
    );
    const reward = await loadReward(`http://127.0.0.1:${server.addr.port}/`, sources);
    assertEquals([reward.name, await reward.score(SAMPLES)], ["http", [3, 4]]);
    await assertRejects(() => loadReward("http://", sources), RewardError, "its URL is not one");
  }));

const COMPOSITES: Record<string, string> = {
  "quality.toml": `
    [[parts]]
    reward = "heuristic"
    weight = 0.5
    [[parts]]
    reward = "length"
    target = 2
    tolerance = 1
    [[parts]]
    reward = "./mine.ts"
    weight = -1`,
  "quality.yaml": `
    parts:
      - { reward: heuristic, weight: 0.5 }
      - { reward: length, target: 2, tolerance: 1 }
      - { reward: ./mine.ts, weight: -1 }`,
  "quality.json": `{"parts": [
    {"reward": "heuristic", "weight": 0.5},
    {"reward": "length", "target": 2, "tolerance": 1},
    {"reward": "./mine.ts", "weight": -1}]}`,
};
for (const [file, text] of Object.entries(COMPOSITES)) {
  Deno.test(`loadReward() puts a reward together as ${file} says`, () => {
    const files = {
      [file]: text,
      "mine.ts": "export default (samples) => samples.map((_, i) => i);",
    };
    return withFiles(
      files,
      ({ folder, sources }) =>
        withReward(join(folder, file), sources, async (reward) => {
          assertEquals(reward.name, "quality");
          assertEquals(await scoreSamples(reward, SAMPLES), {
            scores: [0.5 * 2 + 1, 0.5 * -2 + 1 - 1],
            parts: { heuristic: [2, -2], length: [1, 1], mine: [0, 1] },
          });
        }),
    );
  });
}

Deno.test("loadReward() makes every part that a composite can have", () =>
  withFiles({
    "all.toml": `
      parts = [
        { reward = "diversity", n = 1, repetitionPenalty = 0 },
        { reward = "diversity", name = "pairs" },
        { reward = "pattern", pattern = "^ GOOD", flags = "i", name = "good" },
        { reward = "missing-end" },
        { reward = "${DISTILBERT}", name = "classifier" },
        { reward = "http://127.0.0.1:1/", retries = 0, headers = { Key = "x" }, weight = 0 },
      ]`,
  }, async ({ folder, sources }) => {
    await withReward(join(folder, "all.toml"), sources, async (reward) => {
      await assertRejects(async () => await reward.score(SAMPLES), RewardError, "reward http at");
    });
    const path = join(folder, "all.toml");
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.replace(/^.*http:.*$/m, ""));
    await withReward(path, sources, async (reward) => {
      const { parts } = await scoreSamples(reward, SAMPLES);
      assertEquals([parts!["diversity"], parts!["pairs"], parts!["good"]], [[1, 1], [0, 0], [
        1,
        0,
      ]]);
      assertEquals(parts!["missing-end"], [0, 0]);
      assertEquals(parts!["classifier/sentiment"], parts!["classifier"]);
    });
  }));

const BAD_COMPOSITES: Record<string, [text: string, says: string]> = {
  "no parts": ["", "parts: Invalid input: expected array, received undefined"],
  "an empty list": ["parts = []", "parts: Too small"],
  "an unknown key": [
    'weights = 1\nparts = [{ reward = "heuristic" }]',
    'Unrecognized key: "weights"',
  ],
  "a part without a reward": ["parts = [{ weight = 1 }]", "parts.0.reward: Invalid input"],
  "a weight in quotes": ['parts = [{ reward = "heuristic", weight = "1" }]', "parts.0.weight: "],
  "a name with a slash": ['parts = [{ reward = "heuristic", name = "a/b" }]', "parts.0.name: only"],
  "an option that a part has not": [
    'parts = [{ reward = "heuristic" }, { reward = "length", target = 3, n = 2 }]',
    'part 2 (length), Unrecognized key: "n"',
  ],
  "an option for what has none": [
    'parts = [{ reward = "heuristic", target = 3 }]',
    'part 1 (heuristic), Unrecognized key: "target"',
  ],
  "an option out of range": [
    'parts = [{ reward = "diversity", n = 0 }]',
    "part 1 (diversity), n: ",
  ],
  "a part without its option": ['parts = [{ reward = "length" }]', "part 1 (length), target: "],
  "a broken expression": ['parts = [{ reward = "pattern", pattern = "(" }]', "part 1 (pattern), "],
  "a URL that is none": ['parts = [{ reward = "http://" }]', "part 1 (http://), "],
  "another composite": ['parts = [{ reward = "./bad.toml" }]', "it is one itself"],
};
for (const [what, [text, says]] of Object.entries(BAD_COMPOSITES)) {
  Deno.test(`loadReward() refuses a composite with ${what}`, () =>
    withFiles({ "bad.toml": text }, async ({ folder, sources }) => {
      const path = join(folder, "bad.toml");
      const { message } = await assertRejects(() => loadReward(path, sources), ConfigError, says);
      assert(message.startsWith(`Cannot load the reward ${path}`), message);
    }));
}

Deno.test("loadReward() refuses a composite with two parts of one name, and frees what it has loaded", () =>
  withFiles({
    "twice.toml": `
      parts = [{ reward = "${DISTILBERT}", name = "a" }, { reward = "heuristic", name = "a" }]`,
    "broken.toml": `parts = [{ reward = "${DISTILBERT}" }, { reward = "./none.ts" }]`,
  }, async ({ folder, sources }) => {
    const load = (file: string) => loadReward(join(folder, file), sources);
    await assertRejects(() => load("twice.toml"), RewardError, "two parts have the name a");
    await assertRejects(() => load("broken.toml"), RewardError, "none.ts");
    assertEquals(sources.gpu.liveBytes, 0);
  }));
