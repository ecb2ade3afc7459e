/**
 * Broken settings, prompts, records and states, as a stranger or a bad disk could make them: each is
 * read or refused with the reader's own error in one line that names the file; nothing hangs or crashes.
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CheckpointError } from "../../train/checkpoint_error.ts";
import { ConfigError, embeddedDefaults, SETTINGS } from "../../train/config.ts";
import { parseConfigFile } from "../../train/config_file.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { loadPrompts, PromptError } from "../../train/prompts.ts";
import { readRewardData } from "../../train/reward_data.ts";
import { Rng } from "../../train/rng.ts";
import { compileTemplate, TemplateError } from "../../train/template.ts";
import { TextDataError } from "../../train/text_data.ts";
import { formatTrainerState, parseTrainerState } from "../../train/trainer_state.ts";
import { JsonLinesError } from "../../weights/jsonl.ts";
import { withFolder } from "../helpers/folder.ts";
import { mutateBytes, mutateJson } from "../helpers/mutate.ts";

/** Longest that reading one small broken file may take, in ms; a loaded machine has stopped for seconds. */
const PATIENCE = 10_000;

type ErrorClass = new (...args: never[]) => Error;

/** Runs `read`: true if it succeeds, false if it throws one of `errors` with a good message; else fails. */
async function isRead(
  read: () => unknown,
  { errors, names }: { errors: readonly ErrorClass[]; names: string },
): Promise<boolean> {
  const started = performance.now();
  try {
    await read();
    return true;
  } catch (error) {
    if (!errors.some((each) => error instanceof each)) throw error;
    const { message } = error as Error;
    assertMatch(message, /^Cannot [a-z]/);
    assertStringIncludes(message, names);
    // deno-lint-ignore no-control-regex -- what could steer a terminal
    assertEquals(/[\u0000-\u001f]/.test(message), false, JSON.stringify(message));
    assert(message.length < 1500, `a message of ${message.length} characters`);
    return false;
  } finally {
    assert(performance.now() - started < PATIENCE);
  }
}

/** Reads `count` mutations; some must have been read and some refused, or the test tests nothing. */
async function fuzz(
  count: number,
  read: (round: number) => unknown,
  expected: { errors: readonly ErrorClass[]; names: string },
): Promise<void> {
  let good = 0;
  for (let round = 0; round < count; round++) if (await isRead(() => read(round), expected)) good++;
  assert(good > 0 && good < count, `${good} of ${count} were read`);
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
const CONFIG_JSON = JSON.stringify(embeddedDefaults, null, 2);
const lines = (join: (flag: string, value: string) => string) =>
  Object.entries(embeddedDefaults)
    .map(([name, value]) =>
      join(SETTINGS.find((each) => each.name === name)!.flag, JSON.stringify(value))
    ).join("\n");

const CONFIGS: Record<string, string> = {
  "a.json": CONFIG_JSON,
  "a.toml": lines((flag, value) => `${flag} = ${value}`) + "\n[other]\nlist = [1, { a = 2 }]\n",
  "a.yaml": lines((flag, value) => `${flag}: ${value}`) + "\nx: &a [1]\ny: *a\n",
};
for (const [path, text] of Object.entries(CONFIGS)) {
  Deno.test(`a broken ${path} is read or refused`, async () => {
    const rng = new Rng(1, path);
    const known = path === "a.json" ? text : text.slice(0, text.search(/\n(\[other|x:)/));
    const read = () =>
      resolveConfig({ file: parseConfigFile(mutateBytes(bytesOf(known), rng), path) });
    await fuzz(250, read, { errors: [ConfigError], names: path });
    const parse = () => parseConfigFile(mutateBytes(bytesOf(text), rng), path);
    await fuzz(250, parse, { errors: [ConfigError], names: path });
  });
}

Deno.test("a config.json with other values is read or refused", async () => {
  const rng = new Rng(2, "values");
  const read = () =>
    resolveConfig({ file: parseConfigFile(bytesOf(mutateJson(CONFIG_JSON, rng)), "a.json") });
  await fuzz(400, read, { errors: [ConfigError], names: "a.json" });
});

/** Files that are small and ask for much. */
const BOMBS: Record<string, string> = {
  "deep.json": `{"a": ${"[".repeat(1e5)}${"]".repeat(1e5)}}`,
  "deep.toml": `a = ${"[".repeat(1e5)}${"]".repeat(1e5)}`,
  "keys.toml": `${"a.".repeat(2e4)}a = 1`,
  "deep.yaml": `a: ${"[".repeat(1e4)}${"]".repeat(1e4)}`,
  "laughs.yaml": "a: &a [x, x, x, x, x, x, x, x, x]\n" +
    [..."bcdefghi"].map((c, i) => `${c}: &${c} [${`*${"abcdefgh"[i]},`.repeat(9)}]`).join("\n"),
  "self.yaml": "a: &a [*a]",
  "prototype.json": '{"__proto__": {"steps": 3}}',
  "prototype.yaml": "__proto__:\n  steps: 3",
  "prototype.toml": "[__proto__]\nsteps = 3",
  "date.toml": "steps = 2026-11-22",
  "infinite.yaml": "steps: .inf",
  "binary.yaml": "steps: !!binary aGVsbG8=",
  "merge.yaml": "<<: {steps: 3}",
  "list.yaml": "? [1, 2]\n: 3",
  "documents.yaml": "steps: 1\n---\nsteps: 2",
};
for (const [path, text] of Object.entries(BOMBS)) {
  Deno.test(`${path} is refused in a line`, async () => {
    const read = () => resolveConfig({ file: parseConfigFile(bytesOf(text), path) });
    assertEquals(await isRead(read, { errors: [ConfigError], names: path }), false);
  });
}

const CHAT = [{ role: "user", content: "a film?" }, { role: "assistant", content: "a good one" }];
const RECORDS = [
  { prompt: "the film <|endoftext|> was", title: "a" },
  { prompt: "\u0000 \u202e \ud800 \u{1f3ac}", title: null },
  { prompt: "this", messages: CHAT, extra: [1, { a: "b" }] },
].map((record) => JSON.stringify(record)).join("\n");

Deno.test("broken prompts are read or refused", () =>
  withFolder(async (folder) => {
    const rng = new Rng(3, "prompts");
    for (const name of ["p.txt", "p.jsonl"]) {
      const file = `${folder}/${name}`;
      const read = async (round: number) => {
        const isValue = name === "p.jsonl" && round % 2 > 0;
        const text = isValue
          ? RECORDS.split("\n").map((line) => mutateJson(line, rng)).join("\n")
          : mutateBytes(bytesOf(RECORDS), rng);
        await Deno.writeFile(file, typeof text === "string" ? bytesOf(text) : text);
        const { texts } = await loadPrompts(file);
        assert(texts.length > 0 && texts.every((prompt) => prompt.trim() !== ""));
      };
      const errors = [PromptError];
      await fuzz(120, read, { errors, names: name });
    }
  }));

const TEMPLATE =
  '{% for m in messages if m.role == "user" %}{{ m.content | upper }}{% endfor %}{{ title | default("it") }} {{ prompt[:8] }}';

Deno.test("broken templates are compiled or refused, and render or fail", () => {
  const rng = new Rng(4, "templates");
  const record = JSON.parse(RECORDS.split("\n")[2]!);
  const source = () => new TextDecoder().decode(mutateBytes(bytesOf(TEMPLATE), rng).slice(0, 2000));
  let rendered = 0;
  for (let round = 0; round < 400; round++) {
    try {
      assertEquals(typeof compileTemplate(source())(record), "string");
      rendered++;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
    }
  }
  assert(rendered > 20 && rendered < 400, `${rendered} rendered`);
});

Deno.test("broken training data of a reward is read or refused", () =>
  withFolder(async (folder) => {
    const rng = new Rng(5, "records");
    const kinds = [
      [{ text: "good\u0000", label: "positive", source: "a" }, { text: "\ud800", label: 1 }],
      [{ prompt: "a ", chosen: "b", rejected: "c" }, { chosen: "<|endoftext|>", rejected: "" }],
    ];
    for (const records of kinds) {
      const file = `${folder}/data.jsonl`;
      const whole = records.map((record) => JSON.stringify(record)).join("\n");
      const read = async (round: number) => {
        const bytes = round % 2 > 0
          ? bytesOf(whole.split("\n").map((line) => mutateJson(line, rng)).join("\n"))
          : mutateBytes(bytesOf(whole), rng);
        await Deno.writeFile(file, bytes);
        const { records } = await readRewardData(file);
        for (const { texts, label } of records) {
          assert(texts.every((text) => typeof text === "string"));
          assert(typeof label === "string" || label >= 0);
        }
      };
      await fuzz(120, read, { errors: [JsonLinesError, TextDataError], names: "data.jsonl" });
    }
  }));

const STATE = formatTrainerState({
  step: 3,
  episodes: 96,
  scheduledSteps: 100,
  config: { ...embeddedDefaults },
  controller: { beta: 0.4, history: [0.1, 0.2] },
  scoreNormaliser: { count: 96, mean: 0.5, squares: 12 },
  minibatchRng: [1, 2, 3, 4],
  prompts: { sha256: "0".repeat(64), epoch: 1, index: 2 },
  optimizer: [3, 0.5, 0.1, 0],
  callbacks: { keeper: { best: null } },
  reference: "0".repeat(64),
  reward: "sentiment",
  adapter: { description: "llvmpipe", subgroupSize: 8, bindingBytes: 2 ** 27 },
  tuning: { "nn 8 x 768 x 768": "registers 8" },
  resumes: [{ step: 1, changed: { steps: [2, 3] } }],
});

Deno.test("a broken trainer_state.json is read or refused", async () => {
  const rng = new Rng(6, "state");
  const read = (round: number) => {
    const bytes = round % 2 > 0
      ? bytesOf(mutateJson(STATE, rng))
      : mutateBytes(bytesOf(STATE), rng);
    parseTrainerState(bytes, "runs/a");
  };
  await fuzz(500, read, { errors: [CheckpointError], names: "runs/a" });
});
