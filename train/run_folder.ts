import { join } from "node:path";
import { writeFileAtomic } from "../weights/atomic.ts";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import type { TrainConfig } from "./config.ts";
import { MetricsWriter } from "./metrics_writer.ts";

/** A folder that cannot take a run. */
export class RunFolderError extends Error {
  override name = "RunFolderError";
}

/** The folder of one training run: its configuration, metrics, samples and checkpoints. */
export class RunFolder {
  readonly #writer: MetricsWriter;

  private constructor(readonly path: string) {
    const append = (name: string) => (text: string) =>
      Deno.writeTextFile(join(path, name), text, { append: true });
    this.#writer = new MetricsWriter({
      metrics: append("metrics.jsonl"),
      samples: append("samples.jsonl"),
    });
  }

  /**
   * Makes the folder and writes `config.json`.
   *
   * @throws {RunFolderError} If a run is there already, or the folder cannot be made.
   */
  static async create(path: string, config: TrainConfig): Promise<RunFolder> {
    try {
      await Deno.mkdir(join(path, "checkpoints"), { recursive: true });
    } catch (cause) {
      throw new RunFolderError(`Cannot make the run folder ${path}: choose another with --out`, { cause });
    }
    const file = join(path, "config.json");
    if (await exists(file)) {
      throw new RunFolderError(`Cannot train into ${path}: it holds a run; choose another with --out`);
    }
    await writeFileAtomic(file, JSON.stringify(config, null, 2) + "\n");
    return new RunFolder(path);
  }

  /** Where the checkpoint after a step lies. */
  checkpoint(step: number): string {
    return join(this.path, "checkpoints", `step-${String(step).padStart(6, "0")}`);
  }

  /** Appends the metrics and samples of every step, and notes the newest checkpoint in `latest`. */
  recorder(): TrainerCallback {
    return {
      onStepEnd: (_, stats: PpoStats) => this.#record(stats),
      onCheckpoint: (_, folder) => writeFileAtomic(join(this.path, "latest"), folder + "\n"),
    };
  }

  async #record({ metrics, samples }: PpoStats): Promise<void> {
    await this.#writer.writeMetrics(metrics);
    await this.#writer.writeSamples(samples);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
