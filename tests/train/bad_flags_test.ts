/**
 * Every flag of every program with what it cannot be, and what the user is told.
 *
 * Settings have a table of their own, `bad_settings_test.ts`; files that flags name, and flags that contradict each other,
 * are in the tests of their programs.
 */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Command, CommanderError, Option } from "commander-core";
import deno from "../../deno.json" with { type: "json" };
import { SETTINGS } from "../../train/config.ts";
import { command as dashboard } from "../../train/dashboard.ts";
import { command as doctor } from "../../train/doctor.ts";
import { command as evaluate } from "../../train/eval.ts";
import { command as explain } from "../../train/explain.ts";
import { command as exportModel } from "../../train/export.ts";
import { command as train } from "../../train/main.ts";
import { command as plan } from "../../train/plan_program.ts";
import { command as profile } from "../../train/profile.ts";
import { command as report } from "../../train/report.ts";
import { command as reward } from "../../train/reward.ts";
import { command as sft } from "../../train/sft.ts";
import { command as bench } from "../bench/workload_flags.ts";

/** What a flag refuses, and what the message says it must be. */
interface Refusal {
  values: readonly string[];
  says: string;
}

const NO_NUMBER = ["many", "", " ", "1e", "NaN", "Infinity", "0x", "1,5"];
const NO_WHOLE = [...NO_NUMBER, "1.5", "1e300"];

const whole = (min: number, max?: number): Refusal => ({
  values: [...NO_WHOLE, String(min - 1), ...(max === undefined ? [] : [String(max + 1)])],
  says: `It must be a whole number ${
    max === undefined ? `of ${min} or more` : `from ${min} to ${max}`
  }.`,
});
const positive: Refusal = {
  values: [...NO_NUMBER, "0", "-1"],
  says: "It must be a number above 0.",
};
const nonNegative: Refusal = {
  values: [...NO_NUMBER, "-1"],
  says: "It must be a number of 0 or more.",
};
const share: Refusal = {
  values: [...NO_NUMBER, "-0.1", "1"],
  says: "It must be a number of 0 or more and below 1.",
};
/** Takes any text: what it names is looked at later. */
const text = "text";
/** Takes no value. */
const toggle = "toggle";

type Flag = Refusal | readonly Refusal[] | typeof text | typeof toggle;

interface Program {
  command: unknown;
  /** Whether it has flags of settings, which are not listed here. */
  settings?: boolean;
  flags: Record<string, Flag>;
}

const PROGRAMS: Record<string, Program> = {
  train: {
    command: train,
    settings: true,
    flags: { config: text, resume: text, dashboard: whole(0, 65_535), quiet: toggle },
  },
  eval: {
    command: evaluate,
    settings: true,
    flags: { model: text, compare: text, responses: whole(1), quiet: toggle },
  },
  plan: { command: plan, settings: true, flags: { config: text } },
  profile: { command: profile, settings: true, flags: { config: text, trace: text } },
  explain: {
    command: explain,
    settings: true,
    flags: { prompt: text, after: whole(0), html: text },
  },
  sft: {
    command: sft,
    flags: {
      model: text,
      data: text,
      val: text,
      out: text,
      epochs: positive,
      steps: whole(1),
      "batch-size": whole(1),
      "gradient-accumulation": whole(1),
      length: whole(1),
      "learning-rate": positive,
      "warmup-steps": whole(0),
      "weight-decay": nonNegative,
      beta2: share,
      "max-grad-norm": positive,
      "lora-rank": whole(0),
      "lora-alpha": positive,
      "lora-targets": text,
      "eval-every": whole(1),
      seed: whole(0),
      quiet: toggle,
      json: toggle,
    },
  },
  reward: {
    command: reward,
    flags: {
      data: text,
      model: text,
      out: text,
      val: text,
      weak: [
        {
          values: ["", "a", ":1"],
          says: "It must be a file and a weight, such as weak.jsonl:0.3.",
        },
        { values: ["a:", "a:0", "a:-1", "a:much"], says: positive.says },
      ],
      "weak-epochs": whole(1),
      labels: {
        values: ["", "a,", "a,a", " , "],
        says: "It must be different names with commas between them.",
      },
      share: [
        { values: ["", "a", ":1"], says: "It must be a source and a share, such as reviews:0.5." },
        { values: ["a:", "a:0", "a:-1", "a:much"], says: positive.says },
      ],
      balance: toggle,
      epochs: whole(1),
      "batch-size": whole(1),
      "gradient-accumulation": whole(1),
      "learning-rate": positive,
      warmup: share,
      "weight-decay": nonNegative,
      "max-grad-norm": positive,
      "word-dropout": share,
      crop: share,
      "label-smoothing": share,
      centring: nonNegative,
      "eval-every": whole(1),
      patience: whole(1),
      "keep-last": toggle,
      seed: whole(0),
      quiet: toggle,
      json: toggle,
    },
  },
  export: {
    command: exportModel,
    flags: {
      model: text,
      out: text,
      dtype: {
        values: ["", "int8", "Float32"],
        says: "Allowed choices are float32, float16, bfloat16.",
      },
      "max-shard-size": {
        values: ["", "big", "-1GB", "0", "1 apple"],
        says: "It must be a size such as 2GB or 500MiB.",
      },
    },
  },
  report: { command: report, flags: { out: text } },
  dashboard: { command: dashboard, flags: { port: whole(0, 65_535) } },
  doctor: { command: doctor, flags: { json: toggle } },
  bench: { command: bench, flags: { steps: whole(1), json: toggle } },
};

/** What a program says of its arguments where they are refused: one line. */
function refusal(command: Command, args: readonly string[]): string {
  let said = "";
  command.exitOverride().configureOutput({ writeErr: (line) => said += line });
  const error = assertThrows(() => command.parse(args, { from: "user" }), Error, "", `${args}`);
  assertEquals((error as CommanderError).exitCode, 1, `${args}: ${error}`);
  assertMatch(said, /^error: [^\n]+\n$/);
  return said.trimEnd();
}

const isSetting = new Set(SETTINGS.map(({ flag }) => flag));

Deno.test("every program has a row in the table", () => {
  const others = ["test", "ok", "browser"]; // they have no flags
  const tasks = Object.keys(deno.tasks).filter((task) => !others.includes(task));
  assertEquals(Object.keys(PROGRAMS).toSorted(), tasks.toSorted());
});

for (const [name, { command: any, settings = false, flags }] of Object.entries(PROGRAMS)) {
  const command = any as Command;
  const named = (flag: string) => command.options.find(({ long }) => long === `--${flag}`)!;

  /** Flags that must be there, with a value. */
  const required = command.options
    .filter(({ mandatory, defaultValue }) => mandatory && defaultValue === undefined);
  const given = filled(required);

  Deno.test(`every flag of ${name} has a row in the table`, () => {
    const all = command.options.map(({ long }) => long!.slice(2));
    const isOfSetting = (flag: string) => settings && isSetting.has(flag.replace(/^no-/, ""));
    const own = all.filter((flag) => flag in flags || !isOfSetting(flag));
    assertEquals(own.toSorted(), Object.keys(flags).toSorted());
  });

  for (const [flag, row] of Object.entries(flags)) {
    Deno.test(`${name} --${flag} is refused where it cannot be`, () => {
      const option = named(flag);
      if (row === toggle) {
        assertEquals(
          refusal(command, [...given, `--${flag}=yes`]),
          `error: unknown option '--${flag}=yes'`,
        );
        return;
      }
      if (!option.optional) assertMissing(command, option);
      if (row === text) return;
      for (const { values, says } of [row].flat()) {
        for (const value of values) {
          assertEquals(
            refusal(command, [`--${flag}=${value}`]),
            `error: option '${option.flags}' argument '${value}' is invalid. ${says}`,
          );
        }
      }
    });
  }

  Deno.test(`${name} says which flag was meant, which is missing, and what is too much`, () => {
    for (const { long, hidden } of command.options) {
      if (hidden) continue; // --no-x is not suggested
      const slip = long!.replace(/.$/, "$&$&");
      const said = refusal(command, [...given, slip]);
      const [, meant] = said.match(
        /^error: unknown option '.*' \(Did you mean (?:one of )?(.*)\?\)$/,
      )!;
      assert(meant.split(", ").includes(long!), said);
    }
    for (const { flags, long } of required) {
      const rest = filled(required.filter((other) => other.long !== long));
      assertEquals(refusal(command, rest), `error: required option '${flags}' not specified`);
    }
    const takes = command.registeredArguments;
    if (takes[0]?.required) {
      assertEquals(refusal(command, []), `error: missing required argument '${takes[0].name()}'`);
    }
    if (takes.some(({ variadic }) => variadic)) return;
    const tooMany = refusal(command, [...given, ...takes.map(() => "x"), "y"]);
    assertMatch(tooMany, /^error: too many arguments/);
  });

  if (!settings) continue;
  Deno.test(`${name} takes no text for the number of a setting, and no flag without its value`, () => {
    for (const { flag, kind } of SETTINGS) {
      const option = named(flag);
      if (option === undefined || flag in flags || kind === "boolean") continue;
      assertMissing(command, option);
      if (kind !== "number") continue;
      assertEquals(
        refusal(command, [`--${flag}=many`]),
        `error: option '${option.flags}' argument 'many' is invalid. It must be a number.`,
      );
    }
  });
}

Deno.test("bench knows its workloads", () => {
  const said = refusal(bench as unknown as Command, ["enormous"]);
  assertEquals(
    said,
    "error: command-argument value 'enormous' is invalid for argument 'names'. " +
      "Allowed choices are small, gpt2, large.",
  );
});

/** The options as one gives them. */
function filled(options: readonly Option[]): string[] {
  return options.flatMap(({ long }) => [long!, "x"]);
}

function assertMissing(command: Command, { flags, long }: Option): void {
  assertEquals(refusal(command, [long!]), `error: option '${flags}' argument missing`);
  assert(long!.startsWith("--"));
}
