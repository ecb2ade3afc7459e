/** Callbacks that change how training goes on, under the names that Keras gave them. */

import type { TrainerCallback } from "./callbacks.ts";
import { ConfigError } from "./config.ts";

/** When to stop early. */
export interface EarlyStoppingOptions {
  /** Name of a metric; `objective/rlhf_reward` by default. */
  monitor?: string;
  /** Whether more or less of it is better (default "max"). */
  mode?: "max" | "min";
  /** Steps without an improvement, after which training stops. */
  patience: number;
  /** What counts as an improvement must be more than this (default 0). */
  minDelta?: number;
}

/**
 * Stops training when a metric has not improved for `patience` steps.
 *
 * Metrics of single batches are noisy: choose a patience of many steps. The memory is part of the checkpoint.
 */
export function earlyStopping(
  { monitor = "objective/rlhf_reward", mode = "max", patience, minDelta = 0 }: EarlyStoppingOptions,
): TrainerCallback {
  const sign = mode === "max" ? 1 : -1;
  let memory: { best: number | null; stepsSince: number } = { best: null, stepsSince: 0 };
  return {
    name: "early stopping",
    state: () => memory,
    restore(state) {
      memory = state as typeof memory;
    },
    onStepEnd(trainer, { metrics }) {
      const value = (metrics as Record<string, number | undefined>)[monitor];
      if (value === undefined) {
        throw new ConfigError(`Cannot watch ${monitor}: the run has no such metric; see METRICS`);
      }
      if (memory.best === null || sign * (value - memory.best) > minDelta) {
        memory = { best: value, stepsSince: 0 };
      } else {
        memory = { ...memory, stepsSince: memory.stepsSince + 1 };
      }
      if (memory.stepsSince >= patience) trainer.stop();
    },
  };
}

/**
 * Sets the learning rate of every step.
 *
 * @param schedule Takes the number of the step, counted from 1, and the setting `learningRate`.
 */
export function learningRateScheduler(
  schedule: (step: number, learningRate: number) => number,
): TrainerCallback {
  return {
    onStepBegin(trainer, step) {
      trainer.learningRate = schedule(step, trainer.config.learningRate);
    },
  };
}

/** Stops training when a loss or the gradient's norm is not a number. */
export function terminateOnNaN(): TrainerCallback {
  return {
    onStepEnd(trainer, { metrics }) {
      if (metrics["ppo/skipped"] > 0 || Number.isNaN(metrics["ppo/loss/total"])) trainer.stop();
    },
  };
}
