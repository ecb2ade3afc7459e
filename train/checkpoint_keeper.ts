import * as z from "zod";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import { CheckpointError } from "./checkpoint_error.ts";
import { ConfigError, type TrainConfig } from "./config.ts";
import type { PpoTrainer } from "./ppo_trainer.ts";
import { listCheckpoints, type RunFolder } from "./run_folder.ts";

const MEMORY = z.strictObject({
  best: z.strictObject({ step: z.number(), value: z.number() }).nullable(),
});

/**
 * Saves checkpoints into a run folder every so many steps, keeps the newest few and the best, and forgets the rest.
 *
 * Where the guard watches, the beginning is saved too, until the first of the others is there: what goes wrong before
 * that can go back as well.
 *
 * A checkpoint is better than another if the mean of the metric over the steps that led to it, since the checkpoint
 * before, is higher, or lower where the metric's name has a minus before it.
 */
export class CheckpointKeeper implements TrainerCallback {
  readonly name = "checkpoints";
  /** The step of the newest checkpoint. */
  #saved: number | undefined;
  #best: { step: number; value: number } | null = null;
  /** The metric in the steps since the newest checkpoint. */
  #values: number[] = [];

  constructor(
    readonly folder: RunFolder,
    readonly options: Pick<TrainConfig, "saveEvery" | "keep" | "bestMetric" | "guard">,
  ) {}

  /** Looks for the checkpoint that the run was resumed from; saves the beginning. */
  async onTrainBegin(trainer: PpoTrainer): Promise<void> {
    this.#saved = (await listCheckpoints(this.folder.path)).at(-1)?.step;
    const { guard, saveEvery } = this.options;
    if (guard && saveEvery > 0 && trainer.steps === 0) await this.#save(trainer);
  }

  /** Goes on from the checkpoint that the run went back to. */
  onRollback({ steps }: PpoTrainer): void {
    this.#saved = steps;
    this.#values = [];
  }

  /** Notes the metric, and saves if it is time and the step was sound. */
  async onStepEnd(trainer: PpoTrainer, { metrics, events }: PpoStats): Promise<void> {
    if (events.some(({ action }) => action === "stop")) return; // what is saved is better
    const { bestMetric, saveEvery } = this.options;
    if (bestMetric !== "") {
      const value = (metrics as Record<string, number | undefined>)[bestMetric.replace(/^-/, "")];
      if (value === undefined) {
        throw new ConfigError(
          `Cannot use bestMetric ${bestMetric}: the run has no such metric; choose one that metrics.jsonl shows`,
        );
      }
      if (Number.isFinite(value)) this.#values.push(bestMetric.startsWith("-") ? -value : value);
    }
    if (events.some(({ rule }) => rule === "non_finite_update")) return; // the policy may be what is broken
    if (saveEvery > 0 && trainer.steps % saveEvery === 0) await this.save(trainer);
  }

  /**
   * Saves a checkpoint of the step that was taken last, unless there is one or no step was taken, and removes
   * those that are not kept.
   *
   * @throws {CheckpointError} If it cannot be written; those that are there stay.
   */
  async save(trainer: PpoTrainer): Promise<void> {
    if (trainer.steps > 0) await this.#save(trainer);
  }

  async #save(trainer: PpoTrainer): Promise<void> {
    const { steps } = trainer;
    if (steps === this.#saved) return;
    const value = this.#values.reduce((sum, x) => sum + x, 0) / this.#values.length;
    const isBest = this.#values.length > 0 && !(this.#best && this.#best.value >= value);
    if (isBest) this.#best = { step: steps, value };
    this.#values = [];
    await this.folder.sync(); // a checkpoint never has more steps than there are lines
    try {
      await trainer.save(this.folder.checkpoint(steps));
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      const { path } = this.folder;
      throw error.withRemedy(
        this.#saved
          ? `repair that, and go on after step ${this.#saved} with --resume ${path}`
          : "repair that, and begin again",
      );
    }
    this.#saved = steps;
    if (isBest) await this.folder.point("best", steps);
    await this.folder.point("latest", steps);
    await this.folder.prune(this.options.keep);
  }

  /** What a checkpoint keeps of it. */
  state(): z.output<typeof MEMORY> {
    return { best: this.#best };
  }

  /** Goes on from a saved state. */
  restore(state: unknown): void {
    this.#best = MEMORY.parse(state).best;
    this.#values = [];
  }
}
