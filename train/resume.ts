/** Which settings may change where a run is resumed. */

import { ConfigError, separated, type SettingName, SETTINGS, type TrainConfig } from "./config.ts";
import type { ConfigFile } from "./config_file.ts";

/** Settings that may change on resume. All others have shaped the state that is resumed. */
export const MAY_CHANGE: ReadonlySet<SettingName> = new Set<SettingName>([
  // Where things lie; the content of model and prompts must be the same.
  "model",
  "prompts",
  "template",
  "out",
  // How long, and what is kept and shown.
  "steps",
  "saveEvery",
  "keep",
  "saveMerged",
  "bestMetric",
  "sampleEvery",
  "evalResponses",
  "judge",
  "json",
  "trackio",
  "mlflow",
  "project",
  // What a machine allows. Another accumulation rounds differently, but computes the same.
  "gradientAccumulation",
  "memoryBudget",
  "rewardTimeout",
  "gpuTimeout",
  // How training goes on; these steer it from outside and leave no trace in the state.
  "learningRate",
  "lrSchedule",
  "warmupSteps",
  "weightDecay",
  "maxGradNorm",
  "klTarget",
  "klFactor",
  "klHorizon",
  "klMin",
  "klMax",
  "clipRange",
  "valueClipRange",
  "valueCoef",
  "entropyCoef",
  "guard",
  "guardActions",
  "guardSkips",
  "guardRollbacks",
  "guardKlFactor",
  "guardFirstRatio",
  "guardRatio",
  "guardKl",
  "guardEntropy",
  "guardDistinct",
  "guardRepetition",
  "guardLength",
  "guardPerplexity",
]);

/** Settings with their values before and after. */
export type ChangedSettings = Record<string, [before: unknown, after: unknown]>;

/**
 * The settings that differ between a run and its continuation.
 *
 * @throws {ConfigError} If one differs that may not; the message names it and both values.
 */
export function changedSettings(before: TrainConfig, after: TrainConfig): ChangedSettings {
  const changed: ChangedSettings = {};
  for (const { name } of SETTINGS) {
    if (before[name] === after[name]) continue;
    if (!MAY_CHANGE.has(name)) {
      const [old, wanted] = [before[name], after[name]].map((value) => JSON.stringify(value));
      throw new ConfigError(
        `Cannot resume with ${name} ${wanted}: the run was made with ${old}, which shaped its state; ` +
          `leave out --${separated(name, "-")}, or begin a new run with the checkpoint as --model`,
      );
    }
    changed[name] = [before[name] ?? null, after[name] ?? null];
  }
  return changed;
}

/** The settings in a checkpoint, as the lowest source of a configuration. */
export function savedSettings(config: Record<string, unknown>, path: string): ConfigFile {
  const entries = Object.entries(config).map(([key, value]) => ({ key, value, line: undefined }));
  return { path, entries };
}
