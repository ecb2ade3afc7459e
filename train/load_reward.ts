/** The reward that a name stands for. */

import { basename, extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Gpu } from "../kernels/runtime/mod.ts";
import type { FrozenDtype } from "../model/half_tensors.ts";
import { loadSequenceClassifier } from "../model/sequence_classifier_weights.ts";
import { HeuristicReward } from "../reward/heuristic.ts";
import { HttpReward, isHttpUrl } from "../reward/http.ts";
import { PreferenceReward } from "../reward/preference.ts";
import type { Reward } from "../reward/reward.ts";
import { RobustReward } from "../reward/robust.ts";
import { type SentimentOptions, SentimentReward } from "../reward/sentiment.ts";
import { exists } from "../weights/hub_files.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { ConfigError, type TrainConfig } from "./config.ts";
import { loadComposite } from "./load_composite.ts";
import { loadRewardModule } from "./load_reward_module.ts";
import { findModel } from "./model_source.ts";

/** Folder of the sentiment classifier that comes with the package. */
export const EMBEDDED_CLASSIFIER: string = fileURLToPath(
  new URL("../weights/review-distilbert", import.meta.url),
);

/** Folder of the embedded judge: a second sentiment classifier, of other texts than the first. */
export const EMBEDDED_JUDGE: string = fileURLToPath(
  new URL("../weights/review-judge", import.meta.url),
);

/** What a reward may need to be loaded. */
export interface RewardSources {
  /** For classifiers. */
  gpu: Gpu;
  /** Where a classifier that is named by its id on the Hub comes from. */
  hub?: HubOptions;
  /** How classifiers of sentiment score. */
  sentiment?: SentimentOptions;
  /** How classifiers keep their matrices (default `f32`). */
  dtype?: FrozenDtype;
  /** Hears that a classifier cannot be used and the heuristic scores instead (default: nobody does). */
  say?: ((line: string) => void) | undefined;
}

/** The settings that say how responses are scored. */
type RewardSettings = Pick<
  TrainConfig,
  "reward" | "positiveFactor" | "negativeFactor" | "positiveLabel" | "classifiedText"
>;

/** Loads the reward of a run's settings; see {@linkcode loadReward}. */
export function configuredReward(
  config: RewardSettings,
  sources: Omit<RewardSources, "sentiment">,
): Promise<Reward> {
  const { reward, positiveFactor, negativeFactor, positiveLabel, classifiedText } = config;
  const sentiment = {
    positive: positiveFactor,
    negative: negativeFactor,
    positiveLabel,
    of: classifiedText,
  };
  return loadReward(reward, { ...sources, sentiment });
}

/** Loads the judge of a run's settings; undefined where there is to be none. */
export async function configuredJudge(
  config: RewardSettings & Pick<TrainConfig, "judge">,
  sources: Omit<RewardSources, "sentiment">,
): Promise<Reward | undefined> {
  if (config.judge === "") return undefined;
  return await configuredReward({ ...config, reward: config.judge }, sources);
}

/** Names that stand for a reward of this project; every other one is an address, a file or a model. */
export const REWARD_NAMES: readonly string[] = ["heuristic", "sentiment", "judge"];

/** Endings of names that are modules, and of those that are descriptions of a composite. */
const MODULES = [".ts", ".mts", ".js", ".mjs"];
const COMPOSITES = [".toml", ".yaml", ".yml", ".json"];

/**
 * Loads the reward that a name stands for:
 *
 * - `heuristic`: {@linkcode HeuristicReward};
 * - `sentiment`: the classifier that comes with the package, else the heuristic;
 * - `judge`: the second classifier that comes with the package;
 * - a URL: {@linkcode HttpReward};
 * - a file whose name ends in .ts, .mts, .js or .mjs: a module whose default export is a reward, or a function from
 *   samples to numbers, see {@linkcode loadRewardModule};
 * - a file whose name ends in .toml, .yaml, .yml or .json: a composite, see {@linkcode loadComposite};
 * - else a classifier or, with a single label, a preference model: a folder, or a model on the Hub; where
 *   it cannot be loaded or fails, the heuristic.
 *
 * The caller disposes of it.
 *
 * ```ts
 * import { Gpu, loadReward } from "@kl-guard/kl-guard";
 *
 * using gpu = await Gpu.open();
 * const reward = await loadReward("sentiment", { gpu });
 * const [prompt, response] = ["The food was", " wonderful, and the staff kind."];
 * console.log(await reward.score([{ prompt, response, text: prompt + response, ended: true }]));
 * reward[Symbol.dispose]?.();
 * ```
 *
 * @throws {RewardError} If it cannot be loaded.
 * @throws {ConfigError} If a file describes no composite.
 * @throws {ModelFolderError} If there is no such folder; and {@linkcode HubError} if there is no such model.
 */
export async function loadReward(name: string, sources: RewardSources): Promise<Reward> {
  switch (kindOf(name)) {
    case "heuristic":
      return new HeuristicReward();
    case "sentiment":
      return await classifierOrHeuristic(name, EMBEDDED_CLASSIFIER, sources);
    case "judge":
      return await loadClassifierReward(EMBEDDED_JUDGE, sources);
    case "url":
      return new HttpReward(name);
    case "module":
      return await loadRewardModule(name);
    case "composite":
      return await loadComposite(name, (part) => loadPart(part, sources));
    case "classifier": {
      const { folder } = await findModel(name, sources.hub ?? {}, REWARD_NAMES);
      return await classifierOrHeuristic(basename(name), folder, sources);
    }
  }
}

/**
 * The models that {@linkcode loadReward} would load for a name, none of which is loaded: folders, or names on the Hub.
 *
 * @throws {ConfigError} If a file describes no composite.
 */
export async function classifiersOf(name: string): Promise<string[]> {
  switch (kindOf(name)) {
    case "sentiment":
      return await exists(EMBEDDED_CLASSIFIER) ? [EMBEDDED_CLASSIFIER] : [];
    case "judge":
      return [EMBEDDED_JUDGE];
    case "classifier":
      return [name];
    case "composite": {
      const parts: string[] = [];
      await loadComposite(name, (part) => {
        parts.push(part);
        return Promise.resolve({ name: part, score: () => [] });
      });
      const simple = parts.filter((part) => kindOf(part) !== "composite"); // others are refused
      return (await Promise.all(simple.map(classifiersOf))).flat();
    }
    default:
      return [];
  }
}

/** What kind of reward a name stands for. */
function kindOf(name: string) {
  if (name === "heuristic" || name === "sentiment" || name === "judge") return name;
  if (isHttpUrl(name)) return "url";
  const ending = extname(name).toLowerCase();
  if (MODULES.includes(ending)) return "module";
  return COMPOSITES.includes(ending) ? "composite" : "classifier";
}

/** A part of a composite. */
function loadPart(name: string, sources: RewardSources): Promise<Reward> {
  if (kindOf(name) !== "composite") return loadReward(name, sources);
  throw new ConfigError(
    `Cannot load the reward ${name} as a part of a composite: it is one itself; list its parts instead`,
  );
}

async function classifierOrHeuristic(
  name: string,
  folder: string,
  sources: RewardSources,
): Promise<Reward> {
  const { say = () => {} } = sources;
  const reward = new RobustReward([
    { name, load: () => loadClassifierReward(folder, sources) },
    { name: "heuristic", load: () => new HeuristicReward() },
  ], { name, say });
  await reward.load();
  return reward;
}

/** The reward of a classifier's folder: by sentiment, or, where the model has a single label, by preference. */
async function loadClassifierReward(
  folder: string,
  { gpu, sentiment, dtype }: RewardSources,
): Promise<Reward> {
  const loaded = await loadSequenceClassifier(gpu, folder);
  const classifier = dtype === "f16" ? loaded.halved() : loaded;
  try {
    if (classifier.labels.length === 1) return new PreferenceReward(classifier);
    return new SentimentReward(classifier, sentiment);
  } catch (error) {
    classifier[Symbol.dispose]();
    throw error;
  }
}
