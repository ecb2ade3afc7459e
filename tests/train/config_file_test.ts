import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../../train/config.ts";
import { parseConfigFile, readConfigFile } from "../../train/config_file.ts";
import { withFolder } from "../helpers/folder.ts";

function parse(text: string, path: string) {
  return parseConfigFile(new TextEncoder().encode(text), path);
}

const SAME: Record<string, string> = {
  "run.toml": '# a run\n\nmodel = "gpt2"\nlearning_rate = 1e-5\nkl-target = 0.01\njson = true\n',
  "run.yaml": "# a run\n---\nmodel: gpt2\nlearning_rate: 1e-5\nkl-target: 0.01\njson: true\n",
  "run.YML": "\n\nmodel: 'gpt2'\n'learning_rate': 1e-5\n\"kl-target\": 1.0e-2\njson: true\n",
  "run.json":
    '{\n\n"model": "gpt2",\n  "learning_rate": 1e-5,\n  "kl-target" : 0.01,\n"json": true}',
};
for (const [path, text] of Object.entries(SAME)) {
  Deno.test(`parseConfigFile() reads ${path}, with lines`, () => {
    assertEquals(parse(text, path), {
      path,
      entries: [
        { key: "model", value: "gpt2", line: 3 },
        { key: "learning_rate", value: 1e-5, line: 4 },
        { key: "kl-target", value: 0.01, line: 5 },
        { key: "json", value: true, line: 6 },
      ],
    });
  });
}

Deno.test("parseConfigFile() does not take a value or a longer name for a key", () => {
  const { entries } = parse('model = "steps = 3"\nmax_steps = 1\nsteps = 2\n', "a.toml");
  assertEquals(entries.map(({ key, line }) => [key, line]), [
    ["model", 1],
    ["max_steps", 2],
    ["steps", 3],
  ]);
  assertEquals(parse('{"a": 1, "steps": 2}', "a.json").entries[1]?.line, 1);
});

Deno.test("parseConfigFile() takes an empty TOML or YAML file for no settings", () => {
  for (const path of ["a.toml", "a.yaml"]) assertEquals(parse("", path).entries, []);
});

const BROKEN: [path: string, text: string, says: string][] = [
  ["a.toml", "steps = 1\nseed = = 2\n", "line 2, column 8"],
  ["a.toml", "steps = 1\nsteps = 2\n", "line 2, column"],
  ["a.toml", "steps\n", "line 1, column"],
  ["a.yaml", "steps: 1\nseed: [1\n", "line 3, column 1"],
  ["a.yaml", "steps: 1\nsteps: 2\n", "line 2, column 1: Map keys must be unique"],
  ["a.yaml", "seed: !secret 1\n", "line 1, column 7: Unresolved tag"],
  ["a.yaml", "- steps\n", "it is not a list of settings"],
  ["a.yaml", "steps", "it is not a list of settings"],
  ["a.json", '{"steps": 1,}', "line 1, column 13: expected a key"],
  ["a.json", '{"steps": 1, "steps": 1}', 'the key "steps" appears twice'],
  ["a.json", "", "line 1, column 1: the text ends"],
  ["a.json", "[]", "it is not a list of settings"],
  ["a.ini", "steps = 1", "its type is not known; use a name that ends in .toml, .yaml or .json"],
  ["config", "steps = 1", "its type is not known"],
];
for (const [path, text, says] of BROKEN) {
  Deno.test(`parseConfigFile() refuses ${JSON.stringify(text)} in ${path}`, () => {
    const { message } = assertThrows(() => parse(text, path), ConfigError);
    assertStringIncludes(message, `Cannot read the config file ${path}: `);
    assertStringIncludes(message, says);
    assertEquals(message.includes("\n"), false);
  });
}

Deno.test("parseConfigFile() refuses bytes that are not UTF-8", () => {
  assertThrows(() => parseConfigFile(Uint8Array.of(0xff), "a.toml"), ConfigError, "not UTF-8");
});

Deno.test("readConfigFile() reads a file, and refuses a missing one", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.toml`, "\ufeffsteps = 3\n");
    assertEquals((await readConfigFile(`${folder}/a.toml`)).entries, [
      { key: "steps", value: 3, line: 1 },
    ]);
    const missing = () => readConfigFile(`${folder}/b.toml`);
    await assertRejects(missing, ConfigError, "there is none; check the path");
    await assertRejects(() => readConfigFile(""), ConfigError, "there is none; check the path");
    const path = `Cannot read the config file ${folder}: Is a directory`;
    await assertRejects(() => readConfigFile(folder), ConfigError, path);
  }));
