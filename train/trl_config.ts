/**
 * Config files of TRL: what its `PPOConfig` means in the settings of this project.
 *
 * Both kinds are read: that of `PPOTrainer` since TRL 0.12, now in `trl.experimental.ppo`, and that of 0.11 and before.
 */

import { ConfigError, separated, type SettingName, SETTINGS } from "./config.ts";
import type { ConfigFile } from "./config_file.ts";
import {
  DEFAULTS,
  ESTIMATORS,
  ONLY,
  REMARKS,
  SAME,
  SCHEDULES,
  TELLING,
  type TrlKind,
} from "./trl_names.ts";

/** A setting that comes of a TRL config. */
export interface MappedSetting {
  /** TRL's names that it comes of; none where it is how TRL always does it. */
  readonly from: readonly string[];
  /** Its name here. */
  readonly setting: SettingName;
  /** Its value. */
  readonly value: unknown;
}

/** What has no equal here and does not change what is computed, or is named because it does not go unsaid. */
export interface IgnoredName {
  /** TRL's name. */
  readonly name: string;
  /** Its value. */
  readonly value: unknown;
  /** Why, or what to know about it. */
  readonly remark?: string;
}

/** What a TRL config says, in the settings of this project. */
export interface TrlTranslation {
  /** By name, as `resolveConfig` takes them. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** What each of them comes of. */
  readonly mapped: readonly MappedSetting[];
  /** What was not taken over. */
  readonly ignored: readonly IgnoredName[];
}

/** Whether these are names of a TRL config. */
export function isTrlConfig(names: readonly string[]): boolean {
  return names.some((name) => Object.values(TELLING).some((telling) => telling.includes(name)));
}

/**
 * A TRL config in the settings of this project. A name that is missing, or null, means TRL's default, not ours.
 *
 * The KL is always charged per token in the reward, since that is what TRL's coefficients weigh. What TRL leaves to
 * arguments outside of its config stays as it is here.
 *
 * @throws {ConfigError} If a value would change what is computed and has no equal here, names of both kinds of config
 * stand together, or settings of this project stand among them.
 */
export function fromTrlConfig(record: Readonly<Record<string, unknown>>): TrlTranslation {
  const given = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== null));
  const kind = kindOf(Object.keys(record));
  for (const [name, value] of Object.entries(given)) {
    const { values, remedy } = ONLY[name] ?? {};
    if (values && !values.includes(value)) refuse(name, value, remedy!);
  }

  const reader = new Reader({ ...DEFAULTS[kind], ...given });
  reader.fixed("klMode", "reward");
  for (const [name, setting] of Object.entries(SAME[kind])) reader.same(name, setting);
  const ignored = kind === "new" ? readNew(reader) : readOld(reader);

  for (const [name, value] of Object.entries(given)) {
    if (reader.used.has(name) || name === "stop_token") continue;
    if (SETTINGS.some(({ name: setting }) => separated(setting, "_") === name)) {
      const isComputed = name === "batch_size" || name === "mini_batch_size";
      if (!isComputed) refuse(name, value, "it is no name of TRL's; give it as a flag");
    }
    ignored.push({ name, value, ...(REMARKS[name] && { remark: REMARKS[name] }) });
  }
  const settings = Object.fromEntries(reader.mapped.map(({ setting, value }) => [setting, value]));
  return { settings, mapped: reader.mapped, ignored };
}

/**
 * The settings that a TRL config stands for, with the lines they come from; any other config file as it is.
 *
 * @param say Hears what was mapped, and what was ignored.
 * @throws {ConfigError} As {@linkcode fromTrlConfig}.
 */
export function translateTrl(file: ConfigFile, say: (line: string) => void): ConfigFile {
  if (!isTrlConfig(file.entries.map(({ key }) => key))) return file;
  const record = Object.fromEntries(file.entries.map(({ key, value }) => [key, value]));
  const { mapped, ignored } = fromTrlConfig(record);
  say(`${file.path} is a PPOConfig of TRL, which means here:`);
  for (const { from, setting, value } of mapped) {
    const origins = from.map((name) =>
      record[name] === undefined || record[name] === null ? `${name} (TRL's default)` : name
    );
    say(`  ${setting} ${JSON.stringify(value)} <- ${origins.join(", ") || "always so in TRL"}`);
  }
  if (ignored.length > 0) say("and in which was ignored:");
  for (const { name, value, remark } of ignored) {
    say(`  ${name} ${JSON.stringify(value)}` + (remark ? `: ${remark}` : ""));
  }
  const lineOf = (name: string | undefined) => file.entries.find(({ key }) => key === name)?.line;
  const entries = mapped.map(({ from, setting, value }) => ({
    key: setting,
    value,
    line: from.map(lineOf).find((line) => line !== undefined),
  }));
  return { path: file.path, entries };
}

function kindOf(names: readonly string[]): TrlKind {
  const [newest, oldest] = [TELLING.new, TELLING.old]
    .map((telling) => names.find((name) => telling.includes(name)));
  if (newest !== undefined && oldest !== undefined) {
    throw new ConfigError(
      `Cannot read the TRL config: ${oldest} is of TRL 0.11 and before, ${newest} of later ones; ` +
        "use the names of one",
    );
  }
  return oldest === undefined ? "new" : "old";
}

function refuse(name: string, value: unknown, remedy: string): never {
  throw new ConfigError(
    `Cannot use ${name} ${
      JSON.stringify(value)
    } of the TRL config: it has no equal here; ${remedy}`,
  );
}

/** `PPOConfig` since TRL 0.12; gives what is to be said beside what was mapped. */
function readNew(reader: Reader): IgnoredName[] {
  const ignored: IgnoredName[] = [];
  // As TRL computes them: all processes together make one batch.
  const processes = reader.whole("world_size", 1);
  const accumulation = reader.whole("gradient_accumulation_steps") * processes;
  const miniBatch = reader.whole("per_device_train_batch_size") * accumulation;
  const batch = miniBatch * reader.whole("num_mini_batches");
  const sizes = ["per_device_train_batch_size", "gradient_accumulation_steps"];
  if (processes > 1) sizes.push("world_size");
  reader.map([...sizes, "num_mini_batches"], "batchSize", batch);
  reader.map(sizes, "miniBatchSize", miniBatch);
  reader.map(sizes.slice(1), "gradientAccumulation", accumulation);

  const episodes = reader.whole("total_episodes", 0);
  const steps = Math.ceil(episodes / batch);
  if (steps > 0) reader.map(["total_episodes"], "steps", steps);
  else {
    const remark = "TRL goes over its data num_train_epochs times; give --steps";
    ignored.push({ name: "total_episodes", value: null, remark });
  }
  const ratio = reader.take("warmup_ratio") ?? 0;
  if (typeof ratio !== "number" || ratio > 0 && steps === 0) {
    refuse("warmup_ratio", ratio, "give warmup_steps");
  } else if (ratio > 0) reader.map(["warmup_ratio"], "warmupSteps", Math.ceil(ratio * steps));

  reader.fixed("klController", "fixed");
  reader.choice("lr_scheduler_type", "lrSchedule", SCHEDULES);
  reader.map(["response_length"], "maxLength", UNLIMITED); // TRL limits responses only
  if (reader.take("stop_token") !== "eos") {
    const remark = "a response ends at its first end of text here, in TRL it goes on";
    ignored.push({ name: "stop_token", value: null, remark });
  }
  return ignored;
}

/** More tokens than any model here has places for, which is then the limit. */
const UNLIMITED = 65_536;

/** `PPOConfig` of TRL 0.11 and before; gives what is to be said beside what was mapped. */
function readOld(reader: Reader): IgnoredName[] {
  const ignored: IgnoredName[] = [];
  const micro = reader.whole("forward_batch_size", reader.whole("mini_batch_size"));
  const accumulation = reader.whole("gradient_accumulation_steps");
  const sizes = ["mini_batch_size", "gradient_accumulation_steps"];
  reader.map(sizes, "miniBatchSize", micro * accumulation);
  const steps = Math.ceil(reader.whole("steps") / reader.whole("batch_size")); // TRL counts responses
  reader.map(["steps", "batch_size"], "steps", steps);
  reader.same("max_grad_norm", "maxGradNorm");
  reader.choice("kl_penalty", "klEstimator", ESTIMATORS);

  const target = reader.take("target");
  if (reader.take("adap_kl_ctrl") === true) {
    if (target !== undefined) {
      refuse("target", target, "TRL's is in nats per response; give --kl-target, per token");
    }
    reader.map(["adap_kl_ctrl"], "klController", "proportional");
    reader.same("horizon", "klHorizon");
    const remark = "TRL's default is 6 nats per response; give --kl-target, per token";
    ignored.push({ name: "target", value: null, remark });
  } else {
    reader.map(["adap_kl_ctrl"], "klController", "fixed");
    reader.take("horizon");
  }

  const [scaling, norm] = ["use_score_scaling", "use_score_norm"].map((name) => reader.take(name));
  if (scaling === true && norm !== true) {
    refuse("use_score_scaling", scaling, "use it with use_score_norm");
  }
  if (scaling !== undefined) {
    reader.map(["use_score_scaling", "use_score_norm"], "normaliseScores", scaling);
  }
  reader.same("score_clip", "rewardClip");
  return ignored;
}

/** Takes values out of a config, and keeps what became of them. */
class Reader {
  readonly used = new Set<string>();
  readonly mapped: MappedSetting[] = [];

  constructor(readonly values: Readonly<Record<string, unknown>>) {}

  take(name: string): unknown {
    this.used.add(name);
    return this.values[name];
  }

  /** A whole number of 1 or more, or `absent` where there is none. */
  whole(name: string, absent?: number): number {
    const value = this.take(name) ?? absent;
    if (value === absent || Number.isInteger(value) && value as number >= 1) return value as number;
    throw new ConfigError(
      `Cannot use ${name} ${
        JSON.stringify(value)
      } of the TRL config: it must be a whole number of 1 or more`,
    );
  }

  map(from: readonly string[], setting: SettingName, value: unknown): void {
    this.mapped.push({ from, setting, value });
  }

  /** A setting that means the same under another name, where it is given. */
  same(name: string, setting: SettingName): void {
    const value = this.take(name);
    if (value !== undefined) this.map([name], setting, value);
  }

  /** A setting whose values have other names. */
  choice(name: string, setting: SettingName, values: Readonly<Record<string, unknown>>): void {
    const value = this.take(name);
    const ours = typeof value === "string" ? values[value] : undefined;
    if (ours === undefined) refuse(name, value, `use one of ${Object.keys(values).join(", ")}`);
    this.map([name], setting, ours);
  }

  /** How TRL always does it. */
  fixed(setting: SettingName, value: unknown): void {
    this.map([], setting, value);
  }
}
