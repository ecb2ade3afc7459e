import { DeviceLostError, GpuMemoryError } from "../kernels/runtime/mod.ts";
import type { PpoTrainer } from "./ppo_trainer.ts";
import { listCheckpoints, type RunFolder } from "./run_folder.ts";

/** What {@linkcode trainThroughLoss} needs. */
export interface RecoveryOptions {
  folder: RunFolder;
  /** Trains to the end, saving into `folder`. */
  train: (trainer: PpoTrainer) => Promise<void>;
  /** Makes a trainer on a fresh device that goes on after a checkpoint, or from the beginning. */
  open: (checkpoint: string | undefined) => Promise<PpoTrainer>;
  /** Tells people what happened. */
  say: (line: string) => void;
}

/**
 * Trains, and when the GPU is lost or has no memory left goes on from the newest checkpoint on a fresh device; once for
 * each checkpoint, so that what fails again at the same place ends the run.
 *
 * @returns The trainer that came to the end. One that was given up is disposed of.
 * @throws {DeviceLostError | GpuMemoryError} If it fails again before the next checkpoint; the message names the newest.
 */
export async function trainThroughLoss(
  trainer: PpoTrainer,
  { folder, train, open, say }: RecoveryOptions,
): Promise<PpoTrainer> {
  let triedFrom: number | undefined;
  for (;;) {
    try {
      await train(trainer);
      return trainer;
    } catch (error) {
      if (!(error instanceof DeviceLostError || error instanceof GpuMemoryError)) throw error;
      const newest = (await listCheckpoints(folder.path)).at(-1);
      const from = newest?.step ? `its newest checkpoint, ${newest.folder}` : "the beginning";
      const step = newest?.step ?? 0;
      if (triedFrom === step) {
        error.message += `; it did so again after the run went on from ${from}`;
        throw error;
      }
      triedFrom = step;
      say(`${error.message}; the run goes on from ${from}, on a fresh device`);
      trainer[Symbol.dispose]();
      trainer = await open(newest?.folder);
      await folder.cutBack(step);
    }
  }
}
