import { join, relative } from "node:path";
import { writeFileAtomic } from "../weights/atomic.ts";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import type { TrainConfig } from "./config.ts";
import { MetricsWriter } from "./metrics_writer.ts";

/** A folder that cannot take a run, or does not hold one. */
export class RunFolderError extends Error {
  override name = "RunFolderError";
}

const CONFIG = "config.json";
const LATEST = "latest";

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
   * Checks that there is no run in the folder yet, which need not exist.
   *
   * @throws {RunFolderError} If there is one.
   */
  static async checkFree(path: string): Promise<void> {
    if (await readIfPresent(join(path, CONFIG)) === undefined) return;
    throw new RunFolderError(
      `Cannot train into ${path}: it holds a run or a model; choose another folder with --out`,
    );
  }

  /**
   * Makes the folder and writes `config.json`.
   *
   * @throws {RunFolderError} If a run is there already, or the folder cannot be made.
   */
  static async create(path: string, config: TrainConfig): Promise<RunFolder> {
    await RunFolder.checkFree(path);
    try {
      await Deno.mkdir(join(path, "checkpoints"), { recursive: true });
    } catch (cause) {
      throw new RunFolderError(
        `Cannot make the run folder ${path}: ${
          (cause as Error).message
        }; choose another with --out`,
        { cause },
      );
    }
    await writeFileAtomic(join(path, CONFIG), JSON.stringify(config, null, 2) + "\n");
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
      onCheckpoint: (_, folder) =>
        writeFileAtomic(join(this.path, LATEST), relative(this.path, folder) + "\n"),
    };
  }

  async #record({ metrics, samples }: PpoStats): Promise<void> {
    await this.#writer.writeMetrics(metrics);
    await this.#writer.writeSamples(samples);
  }
}

/** The newest checkpoint of a run folder; undefined where the folder holds no run, or no checkpoint yet. */
export async function latestCheckpoint(path: string): Promise<string | undefined> {
  const latest = await readIfPresent(join(path, LATEST));
  return latest === undefined ? undefined : join(path, latest.trim());
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return undefined;
    throw error;
  }
}
