/** Every setting with what it cannot be, from every source: what the user is told. */

import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError, type Setting, type SettingName, SETTINGS } from "../../train/config.ts";
import { parseConfigFile } from "../../train/config_file.ts";
import { type ConfigSources, resolveConfig } from "../../train/config_resolve.ts";

/** Values that no number is, and those that no whole number is. */
const NO_NUMBER = ["many", "", " ", "1e", "NaN", "Infinity", "-Infinity", "0x", "1,5", true, null];
const NO_WHOLE = [...NO_NUMBER, 1.5, 1e300];
const NO_TRUTH = ["perhaps", "", 2, -1, null, "ja"];
const NO_TEXT = [7, true, null];
const NO_CHOICE = ["", "other", " ", ...NO_TEXT];

const number = (...outside: number[]) => [...NO_NUMBER, ...outside];
const whole = (...outside: number[]) => [...NO_WHOLE, ...outside];

const WITH_PASSWORD = "https://me:hunter2@scores.example/s";
const WITH_KEY = "https://scores.example/s?model=a&api_key=hunter2";

/** What each setting refuses. Values of the wrong kind are refused in files, where values have kinds. */
const REFUSED: Record<SettingName, readonly unknown[]> = {
  model: NO_TEXT,
  reward: ["", WITH_PASSWORD, WITH_KEY, ...NO_TEXT],
  positiveFactor: number(-101, 101),
  negativeFactor: number(-101, 101),
  positiveLabel: NO_TEXT,
  classifiedText: NO_CHOICE,
  rewardTimeout: whole(-1, 2 ** 31),
  normaliseScores: NO_TRUTH,
  rewardScale: number(0, -1),
  rewardClip: number(-1),
  judge: [WITH_PASSWORD, WITH_KEY, ...NO_TEXT],
  prompts: NO_TEXT,
  template: NO_TEXT,
  specialTokens: NO_TRUTH,
  out: ["", ...NO_TEXT],
  steps: whole(0, -1),
  seed: whole(-1, 2 ** 32),
  batchSize: whole(0, -1),
  miniBatchSize: whole(0, -1),
  gradientAccumulation: whole(0, -1),
  epochs: whole(0, -1),
  memoryBudget: ["much", "8 apples", "-1GiB", ...NO_TEXT],
  learningRate: number(-1e-9),
  lrSchedule: NO_CHOICE,
  warmupSteps: whole(-1),
  beta1: number(-0.1, 1),
  beta2: number(-0.1, 1),
  adamEpsilon: number(0, -1),
  weightDecay: number(-1),
  maxGradNorm: number(-1),
  freezeLayers: whole(-1),
  referenceDtype: NO_CHOICE,
  loraRank: whole(-1),
  loraAlpha: number(0, -1),
  loraTargets: NO_TEXT,
  saveMerged: NO_TRUTH,
  klCoef: number(-1),
  klTarget: number(0, -1),
  klController: NO_CHOICE,
  klHorizon: number(0, -1),
  klFactor: number(1, 0.5),
  klMin: number(0, -1),
  klMax: number(0, -1),
  klMode: NO_CHOICE,
  klEstimator: NO_CHOICE,
  clipRange: number(0, -1),
  valueClipRange: number(0, -1),
  valueCoef: number(-1),
  entropyCoef: number(-1),
  gamma: number(-0.1, 1.01),
  lambda: number(-0.1, 1.01),
  whitenAdvantages: NO_TRUTH,
  maxLength: whole(1, -1),
  maxNewTokens: whole(0, -1),
  minNewTokens: whole(-1),
  temperature: number(0, -1),
  topK: whole(-1),
  topP: number(0, 1.01),
  guard: NO_TRUTH,
  guardActions: ["x", "kl=explode", "kl", "=", ...NO_TEXT],
  guardWindow: whole(1, -1),
  guardSkips: whole(-1),
  guardRollbacks: whole(-1),
  guardKlFactor: number(1, 0.5),
  guardFirstRatio: number(0, -1),
  guardRatio: number(1, 0.5),
  guardKl: number(0, -1),
  guardEntropy: number(-0.1, 1.01),
  guardDistinct: number(-0.1, 1.01),
  guardRepetition: number(-0.1, 1.01),
  guardLength: number(-0.1, 1.01),
  guardPerplexity: number(1, 0.5),
  saveEvery: whole(-1),
  keep: whole(-1),
  bestMetric: ["no/metric", "-no/metric", "-", ...NO_TEXT],
  sampleEvery: whole(-1),
  evalResponses: whole(-1),
  gpuTimeout: number(-1, 86_401),
  json: NO_TRUTH,
  trackio: ["nowhere", "a/b/c", "ftp://a/b", "http://", WITH_PASSWORD, WITH_KEY, ...NO_TEXT],
  mlflow: ["nowhere", "a/b", "ftp://a/b", "http://", WITH_PASSWORD, WITH_KEY, ...NO_TEXT],
  project: ["", ...NO_TEXT],
};

/** The setting's value in every source that can hold it, and how messages call the source. */
function sourcesOf(setting: Setting, value: unknown): [ConfigSources, origin: string][] {
  const { name, flag, variable } = setting;
  const inFile = (text: string, path: string): [ConfigSources, string] => [
    { file: parseConfigFile(new TextEncoder().encode(text), path) },
    `${path}, line 2`,
  ];
  const json = JSON.stringify(value);
  const sources: [ConfigSources, string][] = [
    inFile(`{\n"${name}": ${json}}`, "run.json"),
    inFile(`# a run\n${name}: ${json}`, "run.yaml"),
  ];
  if (value !== null) sources.push(inFile(`# a run\n${name} = ${json}`, "run.toml"));
  // What is typed is text; of a text setting, all of it is allowed that is not refused as text.
  if (value === null || (setting.kind === "text" && typeof value !== "string")) return sources;
  if (setting.kind === "boolean" && typeof value === "number") return sources;
  const text = String(value);
  sources.push([{ flags: { [name]: text } }, `flag --${flag}`]);
  if (text !== "") {
    sources.push([{ env: { [variable]: text } }, `environment variable ${variable}`]);
  }
  return sources;
}

/** One line that names the setting, where it came from and what is allowed. */
function assertGoodMessage(message: string, { name, allowed }: Setting, origin: string): void {
  assertMatch(message, /^Cannot use [^\n]*[^.\n]$/);
  assertStringIncludes(message, `Cannot use ${name} `);
  assertStringIncludes(message, ` (${origin}): it must be ${allowed}`);
  assert(message.length < 700, `a message of ${message.length} characters`);
}

for (const setting of SETTINGS) {
  Deno.test(`${setting.name} is refused from every source where it cannot be`, () => {
    const rows = REFUSED[setting.name];
    assert(rows?.length > 0, `add what ${setting.name} refuses to the table`);
    for (const value of rows) {
      for (const [sources, origin] of sourcesOf(setting, value)) {
        const { message } = assertThrows(() => resolveConfig(sources), ConfigError);
        assertGoodMessage(message, setting, origin);
        assertEquals(message.includes("hunter2"), false);
        assertEquals(message.includes(`${setting.name} null `), value === null);
        // Where it is shown as typed, the value stands beside the name.
        if (typeof value === "string" && value !== WITH_PASSWORD && value !== WITH_KEY) {
          const read = setting.kind === "number" && !isNaN(Number(value)) && value.trim() !== "";
          if (!read) assertStringIncludes(message, `${setting.name} ${JSON.stringify(value)} (`);
        }
      }
    }
  });
}

/** Values of kinds that no setting has. */
const ODD: readonly unknown[] = [[], {}, [1], { a: { b: 1 } }, [[[]]], "x".repeat(100_000)];

Deno.test("every setting refuses lists, objects and endless texts in few words", () => {
  for (const setting of SETTINGS) {
    for (const value of ODD) {
      if (typeof value === "string" && setting.kind === "text") continue;
      const sources = {
        file: { path: "a.json", entries: [{ key: setting.name, value, line: 3 }] },
      };
      const { message } = assertThrows(() => resolveConfig(sources), ConfigError);
      assertGoodMessage(message, setting, "a.json, line 3");
    }
  }
});

const long = "k".repeat(1_000_000);

/** Keys that are no setting: each is refused at once, in a line. */
const NO_SETTINGS = ["", " ", "__proto__", "constructor", "toString", "a\nb", "\u001b[2J", long];
for (const key of NO_SETTINGS) {
  Deno.test(`a file's key ${JSON.stringify(key.slice(0, 20))} is no setting`, () => {
    const sources = { file: { path: "a.json", entries: [{ key, value: 1, line: 1 }] } };
    const { message } = assertThrows(() => resolveConfig(sources), ConfigError);
    assertMatch(
      message,
      /^Cannot use [^\n]* \(a\.json, line 1\): there is no such setting; [^\n]*$/,
    );
    assert(message.length < 300);
    assertEquals(message.includes("\u001b"), false);
  });
}

/** Settings that do not go together. */
const CONTRADICTORY: readonly [
  SettingName,
  unknown,
  SettingName,
  unknown,
  also?: ConfigSources["flags"],
][] = [
  ["batchSize", 6, "miniBatchSize", 4],
  ["miniBatchSize", 6, "gradientAccumulation", 4, { batchSize: 6 }],
  ["warmupSteps", 5, "steps", 5],
  ["maxNewTokens", 24, "maxLength", 24],
  ["minNewTokens", 30, "maxLength", 30, { maxNewTokens: 20 }],
  ["minNewTokens", 9, "maxNewTokens", 8],
  ["klMin", 2, "klMax", 1, { klController: "fixed" }],
  ["klCoef", 0.1, "klMin", 0.2],
  ["klCoef", 2, "klMax", 1],
  ["klMode", "loss", "klEstimator", "k1"],
  ["loraTargets", "c_attn", "loraRank", 0],
  ["saveMerged", true, "loraRank", 0],
  ["template", "{{ x }}", "prompts", ""],
];
for (const [a, valueA, b, valueB, also = {}] of CONTRADICTORY) {
  Deno.test(`${a} ${valueA} does not go with ${b} ${valueB}`, () => {
    const [{ flag }, { name }] = [a, b].map((each) => SETTINGS.find(({ name }) => name === each)!);
    const file = { path: "a.toml", entries: [{ key: name, value: valueB, line: 7 }] };
    const sources = { file, flags: { ...also, [a]: valueA } };
    const { message } = assertThrows(() => resolveConfig(sources), ConfigError);
    assertStringIncludes(
      message,
      `Cannot use ${a} ${JSON.stringify(valueA)} (flag --${flag}) with ` +
        `${b} ${JSON.stringify(valueB)} (a.toml, line 7): `,
    );
    assertMatch(message, /: [^\n]{10,}[^.\n]$/);
  });
}

Deno.test("a reward's URL may have parameters that are no keys", () => {
  for (const reward of ["http://127.0.0.1:8000/score?model=a", "https://scores.example/a@b"]) {
    assertEquals(resolveConfig({ flags: { reward, judge: reward } }).judge, reward);
  }
});
