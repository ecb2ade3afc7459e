/** What the methods of `PpoTrainer` take. */

import type { Gpu, GpuWatcher } from "../kernels/runtime/mod.ts";
import type { Reward } from "../reward/reward.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import type { TrainerCallback } from "./callbacks.ts";
import type { TrainConfig } from "./config.ts";

/** What `PpoTrainer.create` takes: any settings, and values in place of names. */
export interface PpoTrainerOptions extends Partial<Omit<TrainConfig, "reward">> {
  /** A reward, which the caller disposes of, or the name of one; see `loadReward` (default `heuristic`). */
  reward?: Reward | TrainConfig["reward"];
  /** Where to train (default: the runtime's adapter, which the trainer then closes itself). */
  gpu?: Gpu;
  /** Hears of every wait for a Gpu that the trainer opens itself. */
  watcher?: GpuWatcher | undefined;
  /** Where a model that is named by its id on the Hub comes from, and where it is kept. */
  hub?: HubOptions;
  /** Hears when a reward cannot be used and another scores instead (default: nobody does). */
  say?: ((line: string) => void) | undefined;
}

/** How `PpoTrainer.train` goes. */
export interface TrainOptions {
  /** PPO steps (default: the setting; what is left of it where the run was resumed). */
  steps?: number;
  /** Training prompts, taken in shuffled rounds (default: the built-in set). */
  prompts?: readonly string[];
  /** Told of every step, in their order. */
  callbacks?: readonly TrainerCallback[];
  /** Ends training after the step in which it is aborted. */
  signal?: AbortSignal;
}

/** How `PpoTrainer.evaluate` goes. */
export interface EvaluateOptions {
  /** Responses in all, the prompts taken in turn (default: one a prompt). */
  responses?: number;
  /** Hears, now and then, how many of them are there. */
  onProgress?: (done: number) => void;
}

/** How `PpoTrainer.save` goes. */
export interface SaveTrainerOptions {
  /**
   * Also keep what training goes on from, for `PpoTrainer.resume` (default): 8 more bytes a parameter. Without, it
   * is a model for inference only.
   */
  resumable?: boolean;
}

/** The settings among options, the name of a reward included. */
export function settingsOf(
  { gpu: _, watcher: __, hub: ___, say: ____, reward, ...settings }: PpoTrainerOptions,
): Partial<TrainConfig> {
  return { ...settings, ...(typeof reward === "string" && { reward }) };
}
