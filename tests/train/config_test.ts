import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import {
  classicalDefaults,
  ConfigError,
  embeddedDefaults,
  SETTINGS,
  trainConfigSchema,
} from "../../train/config.ts";
import { parseConfigFile } from "../../train/config_file.ts";
import { type ConfigSources, resolveConfig } from "../../train/config_resolve.ts";

const now = new Date(2026, 10, 22, 16, 41, 30);

function toml(text: string) {
  return parseConfigFile(new TextEncoder().encode(text), "run.toml");
}

Deno.test("resolveConfig() without any source gives the embedded defaults", () => {
  assertEquals(resolveConfig({ now }), {
    ...embeddedDefaults,
    klHorizon: 3200,
    out: "runs/2026-11-22-16-41-30",
  });
});

Deno.test("resolveConfig() with a model gives the classical defaults", () => {
  const config = resolveConfig({ flags: { model: "gpt2" }, now });
  const out = "runs/2026-11-22-16-41-30";
  assertEquals(config, { ...classicalDefaults, model: "gpt2", klHorizon: 100, out });
  const { learningRate, batchSize, miniBatchSize, klCoef, klTarget, clipRange } = config;
  assertEquals(
    { learningRate, batchSize, miniBatchSize, klCoef, klTarget, clipRange },
    {
      learningRate: 1e-5,
      batchSize: 2,
      miniBatchSize: 1,
      klCoef: 0.2,
      klTarget: 0.01,
      clipRange: 0.2,
    },
  );
  const { valueClipRange, maxLength, temperature, steps } = config;
  assertEquals({ valueClipRange, maxLength, temperature, steps }, {
    valueClipRange: 0.2,
    maxLength: 80,
    temperature: 1,
    steps: 50,
  });
});

Deno.test("resolveConfig() lets flags win over environment, file and defaults", () => {
  const sources = {
    file: toml("steps = 1\nseed = 1\nepochs = 1"),
    env: { KL_GUARD_STEPS: "2", KL_GUARD_SEED: "2" },
    flags: { steps: 3 },
    now,
  };
  const { steps, seed, epochs, batchSize } = resolveConfig(sources);
  assertEquals([steps, seed, epochs, batchSize], [3, 2, 1, 64]);
});

Deno.test("resolveConfig() takes the model of any source to choose the defaults", () => {
  assertEquals(resolveConfig({ file: toml('model = "m"') }).batchSize, 2);
  assertEquals(resolveConfig({ env: { KL_GUARD_MODEL: "m" } }).batchSize, 2);
  assertEquals(resolveConfig({ env: { KL_GUARD_MODEL: "m" }, flags: { model: "" } }).batchSize, 64);
});

Deno.test("resolveConfig() reads every spelling of a name", () => {
  for (const key of ["top_k", "top-k", "topK"]) {
    assertEquals(resolveConfig({ file: toml(`${key} = 7`) }).topK, 7);
    assertEquals(resolveConfig({ flags: { [key]: 7 } }).topK, 7);
  }
  assertEquals(resolveConfig({ env: { KL_GUARD_BETA1: "0.5" } }).beta1, 0.5);
});

Deno.test("resolveConfig() reads numbers and truth values out of text", () => {
  const env = { KL_GUARD_LEARNING_RATE: " 1e-4", KL_GUARD_JSON: "1", KL_GUARD_TEMPLATE: "" };
  const flags = { whitenAdvantages: "false", temperature: "0.7", prompts: "007" };
  const config = resolveConfig({ env, flags });
  assertEquals([config.learningRate, config.json, config.template], [1e-4, true, ""]);
  assertEquals([config.whitenAdvantages, config.temperature, config.prompts], [false, 0.7, "007"]);
});

Deno.test("resolveConfig() lets a default give way to what is given", () => {
  assertEquals(resolveConfig({ flags: { batchSize: 8 } }).miniBatchSize, 8);
  assertEquals(resolveConfig({ flags: { batchSize: 48 } }).miniBatchSize, 48);
  assertEquals(resolveConfig({ flags: { batchSize: 128 } }).miniBatchSize, 64);
  assertEquals(resolveConfig({ flags: { batchSize: 128 } }).klHorizon, 6400);
  assertEquals(resolveConfig({ flags: { maxLength: 16 } }).maxNewTokens, 15);
  assertEquals(resolveConfig({ flags: { model: "m" } }).maxNewTokens, undefined);
});

Deno.test("resolveConfig() gives what a config file can hold and give back", () => {
  for (const flags of [{}, { model: "gpt2", maxNewTokens: 5, lrSchedule: "cosine" }]) {
    const config = resolveConfig({ flags, now });
    const bytes = new TextEncoder().encode(JSON.stringify(config, null, 2));
    assertEquals(resolveConfig({ file: parseConfigFile(bytes, "config.json") }), config);
  }
});

const REFUSED: [what: string, sources: ConfigSources, ...says: string[]][] = [
  [
    "an unknown flag",
    { flags: { lerningRate: 1 } },
    "lerningRate (flag --lerning-rate): there is no such setting; did you mean --learning-rate?",
  ],
  [
    "an unknown key",
    { file: toml("steps = 1\nkl_tarbet = 1") },
    "kl_tarbet (run.toml, line 2): there is no such setting; did you mean kl_target?",
  ],
  ["a key like no other", { file: toml("colour = 1") }, "no such setting; see --help for all"],
  [
    "an unknown variable that looks like a setting",
    { env: { KL_GUARD_LEARNINGRATE: "1" } },
    "did you mean KL_GUARD_LEARNING_RATE?",
  ],
  [
    "a number out of range",
    { flags: { topP: 1.5 } },
    "topP 1.5 (flag --top-p): it must be a number above 0 and at most 1",
  ],
  [
    "a value that is overridden later",
    { file: toml("epochs = 0"), flags: { epochs: 1 } },
    "epochs 0 (run.toml, line 1): it must be a whole number of 1 or more",
  ],
  [
    "text that is no number",
    { env: { KL_GUARD_STEPS: "many" } },
    'steps "many" (environment variable KL_GUARD_STEPS): it must be a whole number',
  ],
  ["a fraction of a step", { flags: { steps: "1.5" } }, "steps 1.5 (flag --steps)"],
  ["no number at all", { flags: { steps: "" } }, 'steps "" (flag --steps)'],
  ["an infinite number", { flags: { klHorizon: "Infinity" } }, "klHorizon"],
  ["a number in quotes in a file", { file: toml('steps = "5"') }, 'steps "5" (run.toml, line 1)'],
  [
    "an unknown choice",
    { flags: { klController: "bang" } },
    'klController "bang" (flag --kl-controller): it must be one of band, proportional, fixed',
  ],
  ["no reward", { flags: { reward: "" } }, 'reward "" (flag --reward): it must be sentiment, '],
  ["a word for a truth value", { flags: { json: "perhaps" } }, "it must be true or false"],
  ["a table", { file: toml("[kl_target]\nvalue = 1") }, 'klTarget {"value":1} (run.toml'],
  [
    "two spellings of one setting",
    { file: toml("top_k = 1\ntopK = 2") },
    "topK: it is given twice (run.toml, line 1; run.toml, line 2); remove one",
  ],
  [
    "a minibatch that does not divide the batch",
    { flags: { batchSize: 6, miniBatchSize: 4 } },
    "batchSize 6 (flag --batch-size) with miniBatchSize 4 (flag --mini-batch-size): ",
  ],
  [
    "accumulation that does not divide the minibatch",
    { flags: { model: "m", gradientAccumulation: 2 } },
    "miniBatchSize 1 (default) with gradientAccumulation 2 (flag",
  ],
  ["a warm-up as long as the run", { flags: { steps: 5, warmupSteps: 5 } }, "shorter than the run"],
  ["no room for a prompt", { flags: { maxLength: 24, maxNewTokens: 24 } }, "room for a prompt"],
  ["a minimum above the maximum", { flags: { minNewTokens: 25 } }, "maxNewTokens 24 (default)"],
  ["a minimum above the length", { flags: { model: "m", minNewTokens: 80 } }, "room for a prompt"],
  ["KL bounds crossed", { flags: { klMin: 1, klMax: 0.5 } }, "klMin 1 (flag --kl-min) with klMax"],
  ["a KL weight below its bounds", { flags: { klCoef: 0 } }, "unless klController is fixed"],
  ["k1 as a term of the loss", { flags: { klEstimator: "k1" } }, "the gradient of k1 is 0"],
  ["a KL weight above its bounds", { flags: { klCoef: 11 } }, "klMax 10 (default)"],
  ["a template without prompts", { flags: { template: "{{ x }}" } }, "needs a JSONL file"],
  ...[
    ["klTarget", 0],
    ["klHorizon", 0],
    ["klFactor", 1],
    ["temperature", 0],
    ["topP", 0],
    ["topK", -1],
    ["maxNewTokens", 0],
    ["batchSize", 0],
    ["learningRate", -1e-5],
    ["clipRange", 0],
    ["gamma", 1.01],
    ["beta1", 1],
    ["seed", 2 ** 32],
  ].map(([name, value]): [string, ConfigSources, string] => [
    `${name} ${value}`,
    { flags: { [name!]: value } },
    `Cannot use ${name} ${value} (flag`,
  ]),
];
for (const [what, sources, ...says] of REFUSED) {
  Deno.test(`resolveConfig() refuses ${what}`, () => {
    const { message } = assertThrows(() => resolveConfig(sources), ConfigError);
    for (const text of ["Cannot use ", ...says]) assertStringIncludes(message, text);
  });
}

Deno.test("resolveConfig() accepts a KL weight of 0 that stays", () => {
  assertEquals(resolveConfig({ flags: { klCoef: 0, klController: "fixed" } }).klCoef, 0);
  assertEquals(resolveConfig({ flags: { klCoef: 0.1 } }).klMin, 0.1); // a default gives way
});

Deno.test("resolveConfig() leaves other variables alone", () => {
  const env = { KL_GUARD_SUBGROUPS: "off", STEPS: "many", PATH: "/bin", KL_GUARD_STEPS: "" };
  assertEquals(resolveConfig({ env, now }), resolveConfig({ now }));
});

Deno.test("SETTINGS describe every setting in one line", () => {
  assertEquals(SETTINGS.map(({ name }) => name), Object.keys(trainConfigSchema.shape));
  assertEquals(new Set(SETTINGS.map(({ flag }) => flag)).size, SETTINGS.length);
  for (const { flag, variable, doc, allowed } of SETTINGS) {
    assertMatch(flag, /^[a-z][a-z0-9-]+$/);
    assertMatch(variable, /^KL_GUARD_[A-Z0-9_]+$/);
    assertMatch(doc, /^[^\n.]{10,90}$/);
    assert(allowed.length > 0);
  }
});

Deno.test("TrainConfig documents every setting with the line that --help has", async () => {
  const source = await Deno.readTextFile("train/train_config.ts");
  for (const { name, doc } of SETTINGS) {
    const [, comment] = source.match(
      new RegExp(`/\\*\\* (.*)[.;].*\\n {2}readonly ${name}\\??:`),
    ) ?? [];
    const line = doc[0].toUpperCase() + doc.slice(1);
    assert(comment?.startsWith(line), `${name} has the comment ${comment}, it must begin: ${line}`);
  }
});

Deno.test("classicalDefaults and embeddedDefaults are complete and allowed", () => {
  for (const defaults of [classicalDefaults, embeddedDefaults]) {
    trainConfigSchema.parse({ ...defaults, klHorizon: 1, out: "run" });
  }
});
