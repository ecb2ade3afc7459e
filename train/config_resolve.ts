/** Puts the settings of a run together: defaults < config file < environment < flags. */

import { closestString, levenshteinDistance } from "deno-std/text/mod.js";
import {
  classicalDefaults,
  ConfigError,
  embeddedDefaults,
  separated,
  type Setting,
  type SettingName,
  SETTINGS,
  type TrainConfig,
  VARIABLE_PREFIX,
} from "./config.ts";
import { showJson } from "../weights/json.ts";
import { hideSecret } from "../weights/secrets.ts";
import type { ConfigFile } from "./config_file.ts";

/** Where settings come from; each overrides the ones before it. */
export interface ConfigSources {
  /** The settings of a run that is resumed; they stand in for the defaults. */
  resumed?: ConfigFile | undefined;
  /** A config file; keys in snake_case, kebab-case or camelCase. */
  file?: ConfigFile | undefined;
  /** Environment variables; those of settings are `KL_GUARD_` and the name in upper case. */
  env?: Readonly<Record<string, string>>;
  /** Flags by name, in camelCase or kebab-case; undefined is a flag not given. */
  flags?: Readonly<Record<string, unknown>>;
  /** When the run starts, for the name of its folder; now, when absent. */
  now?: Date;
}

/** A value that was given for a setting, and by what. */
interface Given {
  setting: Setting;
  value: unknown;
  /** "flag --learning-rate", "run.toml, line 3". */
  origin: string;
}

const SETTINGS_BY_NAME = new Map<string, Setting>(SETTINGS.map((s) => [s.name, s]));

/**
 * The settings of a run. Every value that was given is checked, overridden or not; then the
 * settings are checked against each other.
 *
 * With a model named, the defaults are {@linkcode classicalDefaults}, else
 * {@linkcode embeddedDefaults}. A default gives way where a given batch size or maximum length
 * leaves no room for it.
 *
 * @throws {ConfigError} If there is no such setting, or a value is not allowed or does not go with
 * another; the message names the setting, its value, where it came from and what is allowed.
 */
export function resolveConfig(sources: ConfigSources): TrainConfig {
  const { resumed, file, env = {}, flags = {}, now = new Date() } = sources;
  const given = new Map<SettingName, Given>();
  const all = [fromFile(resumed), fromFile(file), fromEnvironment(env), fromFlags(flags)];
  for (const entries of all) {
    const byName = new Map<SettingName, Given>();
    for (const entry of entries) {
      const { name } = entry.setting;
      const twin = byName.get(name);
      if (twin !== undefined) {
        throw new ConfigError(
          `Cannot use ${name}: it is given twice (${twin.origin}; ${entry.origin}); remove one`,
        );
      }
      byName.set(name, { ...entry, value: checkValue(entry) });
    }
    for (const [name, entry] of byName) given.set(name, entry);
  }
  const values = Object.fromEntries(given.entries().map(([name, { value }]) => [name, value]));
  const config = { ...defaultsFor(values, now), ...values };
  checkTogether(config, (name) => given.get(name)?.origin ?? "default");
  return config;
}

function* fromFile(file: ConfigFile | undefined): Generator<Given> {
  for (const { key, value, line } of file?.entries ?? []) {
    const origin = line === undefined ? file!.path : `${file!.path}, line ${line}`;
    yield { setting: find(key, origin, (name) => separated(name, "_")), value, origin };
  }
}

function* fromEnvironment(env: Readonly<Record<string, string>>): Generator<Given> {
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(VARIABLE_PREFIX) || text === "") continue;
    const key = variable.slice(VARIABLE_PREFIX.length).toLowerCase();
    // Other parts have variables with this prefix too: only what looks like a setting is one.
    if (settingNamed(key) === undefined && similarName(key) === undefined) continue;
    const origin = `environment variable ${variable}`;
    const spell = (name: string) => VARIABLE_PREFIX + separated(name, "_").toUpperCase();
    const setting = find(key, origin, spell);
    yield { setting, value: parseText(text, setting), origin };
  }
}

function* fromFlags(flags: Readonly<Record<string, unknown>>): Generator<Given> {
  for (const [key, raw] of Object.entries(flags)) {
    if (raw === undefined) continue;
    const origin = `flag --${separated(key, "-")}`;
    const setting = find(key, origin, (name) => `--${separated(name, "-")}`);
    yield { setting, value: typeof raw === "string" ? parseText(raw, setting) : raw, origin };
  }
}

/** The setting that `key` spells, in snake_case, kebab-case or camelCase. */
function settingNamed(key: string): Setting | undefined {
  return SETTINGS_BY_NAME.get(key.replace(/[-_]([a-z])/g, (_, letter) => letter.toUpperCase()));
}

function find(key: string, origin: string, spell: (name: string) => string): Setting {
  const setting = settingNamed(key);
  if (setting !== undefined) return setting;
  const similar = similarName(key);
  const remedy = similar === undefined ? "see --help for all" : `did you mean ${spell(similar)}?`;
  const spelled = /^[\w-]{1,60}$/.test(key) ? key : showJson(key);
  throw new ConfigError(`Cannot use ${spelled} (${origin}): there is no such setting; ${remedy}`);
}

/** The setting's name that `key` may be a slip of: at most a third of the letters differ. */
function similarName(key: string): SettingName | undefined {
  if (key.length > 60) return undefined; // comparing takes time, and no setting's name is as long
  const plain = (name: string) => name.replace(/[-_]/g, "").toLowerCase();
  const names = SETTINGS.map(({ name }) => name);
  const closest = closestString(plain(key), names.map(plain));
  const near = levenshteinDistance(plain(key), closest) <= closest.length / 3;
  return near ? names.find((name) => plain(name) === closest) : undefined;
}

/** Numbers and truth values out of text; what is neither stays text, which the check then refuses. */
function parseText(text: string, { kind }: Setting): unknown {
  const word = text.trim().toLowerCase();
  if (kind === "number" && word !== "" && !Number.isNaN(Number(word))) return Number(word);
  if (kind === "boolean" && ["true", "1", "yes"].includes(word)) return true;
  if (kind === "boolean" && ["false", "0", "no"].includes(word)) return false;
  return text;
}

function checkValue({ setting, value, origin }: Given): unknown {
  const result = setting.schema.safeParse(value);
  if (result.success) return result.data;
  const found = typeof value === "number"
    ? value // JSON has no Infinity
    : showJson(typeof value === "string" ? hideSecret(value) : value);
  throw new ConfigError(
    `Cannot use ${setting.name} ${found} (${origin}): it must be ${setting.allowed}`,
  );
}

function defaultsFor(given: Partial<TrainConfig>, now: Date): TrainConfig {
  const defaults = given.model ? classicalDefaults : embeddedDefaults;
  const { batchSize, maxLength, klCoef, klMax } = { ...defaults, ...given };
  return {
    ...defaults,
    // A weight of 0 or less is refused with its own message.
    ...(klCoef > 0 && { klMin: Math.min(defaults.klMin, klCoef, klMax) }),
    ...(batchSize % defaults.miniBatchSize !== 0 && { miniBatchSize: batchSize }),
    ...(defaults.maxNewTokens !== undefined &&
      { maxNewTokens: Math.min(defaults.maxNewTokens, maxLength - 1) }),
    klHorizon: 50 * batchSize,
    out: `runs/${timestamp(now)}`,
  };
}

/** Local time as `2026-11-22-16-41-30`. */
function timestamp(time: Date): string {
  const local = new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace(/[T:]/g, "-");
}

/** What two settings must be to each other. */
interface Rule {
  settings: readonly [SettingName, SettingName];
  holds(config: TrainConfig): boolean;
  says: string;
}

const RULES: readonly Rule[] = [
  {
    settings: ["batchSize", "miniBatchSize"],
    holds: (c) => c.batchSize % c.miniBatchSize === 0,
    says: "the batch size must be a multiple of the minibatch size",
  },
  {
    settings: ["miniBatchSize", "gradientAccumulation"],
    holds: (c) => c.miniBatchSize % c.gradientAccumulation === 0,
    says: "the minibatch size must be a multiple of the gradient accumulation",
  },
  {
    settings: ["warmupSteps", "steps"],
    holds: (c) => c.warmupSteps < c.steps,
    says: "the warm-up must be shorter than the run",
  },
  {
    settings: ["maxNewTokens", "maxLength"],
    holds: (c) => c.maxNewTokens === undefined || c.maxNewTokens < c.maxLength,
    says: "the maximum length must leave room for a prompt",
  },
  {
    settings: ["minNewTokens", "maxLength"],
    holds: (c) => c.minNewTokens < c.maxLength,
    says: "the maximum length must leave room for a prompt",
  },
  {
    settings: ["minNewTokens", "maxNewTokens"],
    holds: (c) => c.maxNewTokens === undefined || c.minNewTokens <= c.maxNewTokens,
    says: "the minimum must not be above the maximum",
  },
  {
    settings: ["klMin", "klMax"],
    holds: (c) => c.klMin <= c.klMax,
    says: "the lowest weight must not be above the highest",
  },
  {
    settings: ["klCoef", "klMin"],
    holds: (c) => c.klController === "fixed" || c.klCoef >= c.klMin,
    says: "the weight must start within its bounds, unless klController is fixed",
  },
  {
    settings: ["klCoef", "klMax"],
    holds: (c) => c.klController === "fixed" || c.klCoef <= c.klMax,
    says: "the weight must start within its bounds, unless klController is fixed",
  },
  {
    settings: ["klMode", "klEstimator"],
    holds: (c) => c.klMode === "reward" || c.klEstimator !== "k1",
    says: "the gradient of k1 is 0 on average, which holds nothing; use full, or the reward mode",
  },
  {
    settings: ["loraTargets", "loraRank"],
    holds: (c) => c.loraTargets === "" || c.loraRank > 0,
    says: "targets are those of adapters, which have a rank above 0",
  },
  {
    settings: ["saveMerged", "loraRank"],
    holds: (c) => !c.saveMerged || c.loraRank > 0,
    says: "there are adapters to merge only where the rank is above 0",
  },
  {
    settings: ["template", "prompts"],
    holds: (c) => c.template === "" || c.prompts !== "",
    says: "a template needs a JSONL file of prompts",
  },
];

function checkTogether(config: TrainConfig, originOf: (name: SettingName) => string): void {
  for (const { settings, holds, says } of RULES) {
    if (holds(config)) continue;
    const [a, b] = settings.map((name) => `${name} ${showJson(config[name])} (${originOf(name)})`);
    throw new ConfigError(`Cannot use ${a} with ${b}: ${says}`);
  }
}
