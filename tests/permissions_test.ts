/** What every task may do: no more than this table says, and the tasks say no less than it needs. */

import { assert, assertEquals } from "@std/assert";
import deno from "../deno.json" with { type: "json" };

/** What Deno's WebGPU, commander, the terminal's screen and the YAML parser look for. */
const COLOUR = ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"];
const TERMINAL = ["DENO_WEBGPU_BACKEND", ...COLOUR, "TERM", "CI"];
const YAML = ["LOG_TOKENS", "LOG_STREAM"];
/** The Hub's token, address and cache. */
const CACHE = ["HF_*", "XDG_CACHE_HOME", "HOME", "USERPROFILE"];
const SETTINGS = ["KL_GUARD_*"];
/** The Vulkan drivers that its loader was told to use. */
const DRIVERS = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/** What lets a run write to the services that keep its metrics. */
const SINKS = ["MLFLOW_TRACKING_*", "TRACKIO_WRITE_TOKEN"];
const HUB = ["*.huggingface.co", "*.hf.co"];
const LOOPBACK = ["127.0.0.1", "localhost"];

/** An empty list is the whole of a permission: which files a program reads and writes, its user says. */
interface Permissions {
  read: readonly string[];
  write?: readonly string[];
  net?: readonly string[];
  env?: readonly string[];
  run?: readonly string[];
}

const anyFile: readonly string[] = [];
const TABLE: Record<string, Permissions> = {
  train: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...SETTINGS, ...SINKS, ...TERMINAL, ...YAML, ...CACHE],
  },
  eval: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...TERMINAL, ...YAML, ...CACHE],
  },
  sft: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...TERMINAL, ...CACHE],
  },
  reward: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...TERMINAL, ...CACHE],
  },
  plan: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...SETTINGS, ...TERMINAL, ...YAML, ...CACHE],
  },
  explain: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...TERMINAL, ...YAML, ...CACHE],
  },
  export: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...TERMINAL, ...CACHE],
  },
  profile: {
    read: anyFile,
    write: anyFile,
    net: [...HUB, ...LOOPBACK],
    env: [...SETTINGS, ...TERMINAL, ...YAML, ...CACHE],
  },
  report: { read: anyFile, write: anyFile, env: TERMINAL },
  dashboard: { read: anyFile, net: ["127.0.0.1"], env: TERMINAL },
  doctor: {
    read: anyFile,
    write: anyFile,
    net: ["huggingface.co"],
    env: [...DRIVERS, ...TERMINAL, ...CACHE],
  },
  bench: { read: anyFile, env: TERMINAL },
  browser: { read: [".cache/browser", "examples/browser", "weights"], net: ["127.0.0.1"] },
  test: { read: ["tests"], run: [] },
};

/** `deno run --no-prompt --allow-net=a,b x.ts` as `{ net: ["a", "b"] }`; fails on any other flag. */
function permissionsOf(task: string): Record<string, string[]> {
  const command = task.replace(/^deno bundle [^&]* && /, ""); // runs nothing of what it bundles
  const [program, run, prompt, ...flags] = command.split(" ").slice(0, -1);
  assertEquals([program, run, prompt], ["deno", "run", "--no-prompt"]);
  return Object.fromEntries(flags.map((flag) => {
    const [, name, list] = /^--allow-([a-z]+)(?:=(\S+))?$/.exec(flag) ?? [];
    assert(name !== undefined && name !== "all", `${flag} is not one permission`);
    return [name, list?.split(",").sort() ?? []];
  }));
}

for (const [task, command] of Object.entries(deno.tasks)) {
  if (task === "ok") continue; // runs the others
  Deno.test(`deno task ${task} may do what the table says and no more`, () => {
    assert(task in TABLE, `add ${task} to the table, with a reason for each permission`);
    const expected = Object.entries(TABLE[task]!).map(([name, list]) => [name, list.toSorted()]);
    assertEquals(permissionsOf(command), Object.fromEntries(expected));
  });
}

Deno.test("only the runner of the tests may start programs, and nothing may load native code", () => {
  for (const [task, command] of Object.entries(deno.tasks)) {
    assertEquals(
      /(^|\s)(-A|--allow-all|--allow-ffi|--allow-sys|--allow-import)\b/.test(command),
      false,
    );
    assertEquals(command.includes("--allow-run"), task === "test");
  }
});
