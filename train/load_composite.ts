import { basename, dirname, extname, join } from "node:path";
import * as z from "zod";
import { CompositeReward, type RewardPart } from "../reward/composite.ts";
import { DiversityReward } from "../reward/diversity.ts";
import { HttpReward, isHttpUrl } from "../reward/http.ts";
import { LengthReward } from "../reward/length.ts";
import { MissingEndPenalty } from "../reward/missing_end.ts";
import { PatternReward } from "../reward/pattern.ts";
import type { Reward } from "../reward/reward.ts";
import { hideSecret } from "../weights/secrets.ts";
import { readConfigFile } from "./config_file.ts";
import { ConfigError } from "./config.ts";

const whole = (least: number) => z.int().min(least).exactOptional();

/** What every part has; the rest are options of its reward. */
const PART = z.looseObject({
  reward: z.string().min(1),
  name: z.string().regex(/^[\w. -]+$/, "only letters, digits, spaces, dots and dashes")
    .exactOptional(),
  weight: z.number().exactOptional(),
});

/** The rewards that only a composite has: name -> how to make one from options. */
const MAKERS = new Map<string, (options: unknown) => Reward>([
  [
    "length",
    maker(
      z.strictObject({ target: z.number().min(1), tolerance: z.number().min(0).exactOptional() }),
      (options) => new LengthReward(options),
    ),
  ],
  [
    "diversity",
    maker(
      z.strictObject({ n: whole(1), repetitionPenalty: z.number().min(0).exactOptional() }),
      (options) => new DiversityReward(options),
    ),
  ],
  [
    "pattern",
    maker(
      z.strictObject({ pattern: z.string(), flags: z.string().default("") }),
      ({ pattern, flags }) => new PatternReward(new RegExp(pattern, flags)),
    ),
  ],
  ["missing-end", maker(z.strictObject({}), () => new MissingEndPenalty())],
]);

/** Options of a reward that is a URL. */
const HTTP = z.strictObject({
  timeoutMs: whole(1),
  retries: whole(0),
  backoffMs: whole(0),
  batchSize: whole(1),
  concurrency: whole(1),
  headers: z.record(z.string(), z.string()).exactOptional(),
});

const NO_OPTIONS = z.strictObject({});

const FILE = z.strictObject({ parts: z.array(PART).min(1) });

function maker<T>(
  schema: z.ZodType<T>,
  make: (options: T) => Reward,
): (options: unknown) => Reward {
  return (options) => make(schema.parse(options));
}

function askingAt(url: string): (options: unknown) => Reward {
  return maker(HTTP, (options) => new HttpReward(url, options));
}

/**
 * Loads a {@linkcode CompositeReward} that a TOML, YAML or JSON file describes:
 *
 * ```toml
 * [[parts]]
 * reward = "sentiment"     # whatever --reward takes, but for another such file
 *
 * [[parts]]
 * reward = "length"        # target, tolerance
 * target = 20
 * tolerance = 5
 * weight = 0.5             # 1 by default
 *
 * [[parts]]
 * reward = "pattern"       # pattern, flags
 * pattern = "[.!?]$"
 * name = "full stop"       # for the metrics; the reward's own by default
 * ```
 *
 * Further rewards are `diversity` (n, repetitionPenalty) and `missing-end`; a URL may have the
 * {@linkcode HttpOptions}. A path that begins with ./ or ../ is taken from the file's folder.
 *
 * @param load Loads a part that is not made from options.
 * @throws {ConfigError} If the file is missing, broken, or describes something else; the message names
 * the part.
 */
export async function loadComposite(
  path: string,
  load: (name: string) => Promise<Reward>,
): Promise<CompositeReward> {
  const { entries } = await readConfigFile(path);
  const file = checked(
    path,
    "",
    () => FILE.parse(Object.fromEntries(entries.map(({ key, value }) => [key, value]))),
  );
  using loaded = new DisposableStack(); // freed here if a later part cannot be loaded
  const parts: RewardPart[] = [];
  for (const [p, { reward: kind, name, weight = 1, ...options }] of file.parts.entries()) {
    const where = `part ${p + 1} (${hideSecret(kind)}), `;
    const make = MAKERS.get(kind) ?? (isHttpUrl(kind) ? askingAt(kind) : undefined);
    let reward: Reward;
    if (make) {
      reward = checked(path, where, () => make(options));
    } else {
      checked(path, where, () => NO_OPTIONS.parse(options));
      reward = await load(/^[.]{1,2}[/]/.test(kind) ? join(dirname(path), kind) : kind);
    }
    loaded.defer(() => reward[Symbol.dispose]?.());
    parts.push({ reward, weight, name: name ?? reward.name });
  }
  const composite = new CompositeReward(parts, basename(path, extname(path)));
  loaded.move();
  return composite;
}

/** What `read` gives; its errors name the file and the place in it. */
function checked<T>(path: string, where: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new ConfigError(`Cannot load the reward ${path}: ${where}${problemOf(cause)}`, { cause });
  }
}

/** "target: Invalid input: expected number, received string". */
function problemOf(cause: unknown): string {
  if (!(cause instanceof z.ZodError)) return (cause as Error).message;
  const [{ path, message }] = cause.issues as [z.core.$ZodIssue];
  return path.length > 0 ? `${path.join(".")}: ${message}` : message;
}
