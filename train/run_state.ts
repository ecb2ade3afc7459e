/** What a PPO run remembers from step to step, out of it for a checkpoint and into it again. */

import { join } from "node:path";
import * as z from "zod";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { readAdapters } from "../model/adapter_folder.ts";
import { causalLMParameters } from "../model/causal_lm.ts";
import { type CausalLMConfig, parseCausalLMConfig } from "../model/causal_lm_config.ts";
import { readCausalLM } from "../model/gpt2_weights.ts";
import { readModelConfig } from "../weights/folder.ts";
import { type Checkpoint, restoreOptimizer } from "./checkpoint.ts";
import { CheckpointError } from "./checkpoint_error.ts";
import { hashModel } from "./identity.ts";
import type { PpoRun } from "./ppo.ts";
import { Rng } from "./rng.ts";
import type { AdapterState, TrainerState } from "./trainer_state.ts";

/** The part of a trainer's state that is the run's own. */
export type RunState = Pick<
  TrainerState,
  | "config"
  | "controller"
  | "scoreNormaliser"
  | "minibatchRng"
  | "optimizer"
  | "reward"
  | "adapter"
  | "tuning"
>;

/** What the run remembers now, beside parameters and moments. */
export async function runState(run: PpoRun): Promise<RunState> {
  const { config, controller, scoreNormaliser, rng, optimizer, reward } = run;
  const [steps, correction1, correction2, unused] = await optimizer.gpu.read(optimizer.state);
  return {
    config: { ...config },
    controller: controller.state(),
    scoreNormaliser: scoreNormaliser.state(),
    minibatchRng: [...rng.state],
    optimizer: [steps, correction1, correction2, unused],
    reward: reward.name,
    adapter: adapterOf(optimizer.gpu),
    tuning: optimizer.gpu.tuning.choices,
  };
}

/**
 * Takes the run back to where a checkpoint was written: parameters, moments, everything that it remembers.
 *
 * @throws {CheckpointError} If a file of it is broken, or it is one of another policy.
 */
export async function restoreRun(run: PpoRun, checkpoint: Checkpoint): Promise<void> {
  const { state } = checkpoint;
  await restorePolicy(run, checkpoint);
  await restoreOptimizer(checkpoint, run.optimizer);
  run.controller.restore(state.controller);
  run.scoreNormaliser.restore(state.scoreNormaliser);
  run.rng = Rng.restore(state.minibatchRng);
}

/**
 * Gives what a checkpoint keeps for a callback, or for the guard, to `restore`.
 *
 * @throws {CheckpointError} If it is not what was kept.
 */
export function restoreMemory(
  { folder, state }: Checkpoint,
  name: string,
  restore: (memory: unknown) => void,
): void {
  try {
    restore(state.callbacks[name]);
  } catch (cause) {
    if (!(cause instanceof z.ZodError)) throw cause;
    const [{ path, message }] = cause.issues;
    const place = ["callbacks", name, ...path].join(".");
    throw new CheckpointError(`its trainer_state.json is broken at ${place} (${message})`, {
      folder,
      cause,
    });
  }
}

/**
 * Checks that a run has the reference and the reward that a checkpoint's run had.
 *
 * @returns The hash of the reference.
 * @throws {CheckpointError} If one is another.
 */
export async function checkSameRun(
  { reference, reward, config }: PpoRun,
  { folder, state }: Checkpoint,
): Promise<string> {
  const beginAnew = "or begin a new run with the checkpoint as --model";
  if (reward.name !== state.reward) {
    throw new CheckpointError(
      `the run was rewarded by ${state.reward}, and now by ${reward.name}`,
      { folder, remedy: `give the same reward, ${beginAnew}` },
    );
  }
  const hash = await hashModel(reference);
  if (hash !== state.reference) {
    throw new CheckpointError(
      `the model ${config.model || "weights/review-gpt2"} is not the one that the run began with`,
      { folder, remedy: `give the folder that holds it as --model, ${beginAnew}` },
    );
  }
  return hash;
}

/** What decides how sums are rounded. */
export function adapterOf({ description, subgroupSize, bindingBytes }: Gpu): AdapterState {
  return { description, subgroupSize, bindingBytes };
}

/** Overwrites the policy, or its adapters, with that of a checkpoint. */
async function restorePolicy({ policy }: PpoRun, { folder }: Checkpoint): Promise<void> {
  if (policy.adapters) return await readAdapters(policy, folder);
  const saved = parseCausalLMConfig(await readModelConfig(folder), join(folder, "config.json"));
  const specs = (config: CausalLMConfig) => JSON.stringify(causalLMParameters(config));
  if (specs(saved) !== specs(policy.config)) {
    throw new CheckpointError("it has a policy of another size or kind than the run's model", {
      folder,
      remedy: "give the folder of the model that the run began with as --model",
    });
  }
  await readCausalLM(policy, folder);
}
