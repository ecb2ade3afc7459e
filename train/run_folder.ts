import { join, relative } from "node:path";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { writeFileAtomic } from "../weights/atomic.ts";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import { summary } from "./comparison.ts";
import type { TrainConfig } from "./config.ts";
import type { Evaluation } from "./evaluate.ts";
import { cutLines } from "./line_files.ts";
import { MetricsWriter } from "./metrics_writer.ts";
import { isSystemError } from "./system_error.ts";

/** A folder that cannot take a run, or does not hold one. */
export class RunFolderError extends Error {
  /** The name of the class. */
  override name = "RunFolderError";
}

const CONFIG = "config.json";
const CHECKPOINTS = "checkpoints";
const LOCK = ".lock";

const EVENTS = "events.jsonl";

/** Files with one JSON object a line, each of which has its `step`. */
const LINE_FILES = ["metrics.jsonl", "samples.jsonl", EVENTS];

/** Texts of an evaluation that are kept. */
const KEPT_TEXTS = 48;

/** A file that names one of the checkpoints. */
type Pointer = "latest" | "best";

/** A checkpoint of a run, whole or not. */
export interface RunCheckpoint {
  step: number;
  folder: string;
}

/**
 * The folder of one training run: its configuration, metrics, samples and checkpoints.
 *
 * While it is open no other process can train into it. Dispose of it when done.
 */
export class RunFolder implements Disposable {
  readonly #writer: MetricsWriter;

  private constructor(readonly path: string, readonly lock: Deno.FsFile) {
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
      await Deno.mkdir(join(path, CHECKPOINTS), { recursive: true });
    } catch (cause) {
      throw new RunFolderError(
        `Cannot make the run folder ${path}: ${
          (cause as Error).message
        }; choose another with --out`,
        { cause },
      );
    }
    const lock = await lockRun(path);
    try {
      await RunFolder.checkFree(path); // of two that start together, the second sees the first's
      await writeConfig(path, config);
    } catch (error) {
      lock.close();
      throw error;
    }
    return new RunFolder(path, lock);
  }

  /**
   * Opens the folder of a run that goes on after `step`, which becomes its last one: lines of later steps, later
   * checkpoints and what a killed program left half written are removed. `config.json` is written anew.
   *
   * @throws {RunFolderError} If another process is training into it, or it cannot be written.
   */
  static async reopen(path: string, config: TrainConfig, step: number): Promise<RunFolder> {
    const lock = await lockRun(path);
    const folder = new RunFolder(path, lock);
    try {
      await folder.cutBack(step);
      await writeConfig(path, config);
    } catch (error) {
      lock.close();
      throw isSystemError(error) ? unwritable(path, error) : error;
    }
    return folder;
  }

  /** Where the checkpoint after a step lies. */
  checkpoint(step: number): string {
    return join(this.path, CHECKPOINTS, `step-${String(step).padStart(6, "0")}`);
  }

  /** Writes `evaluation.json`: the numbers of both evaluations, and the first of their texts. */
  async writeEvaluations(evaluations: { before: Evaluation; after: Evaluation }): Promise<void> {
    const records = Object.entries(evaluations).map(([when, evaluation]) => {
      const samples = evaluation.samples.slice(0, KEPT_TEXTS);
      return [when, { summary: summary(evaluation), samples }];
    });
    await this.#write("evaluation.json", Object.fromEntries(records));
  }

  /** Writes `environment.json`: what the run runs on. */
  async writeEnvironment({ gpu }: { gpu: Gpu }): Promise<void> {
    await this.#write("environment.json", {
      adapter: gpu.description,
      software: gpu.software,
      subgroupSize: gpu.subgroupSize,
      bindingBytes: gpu.bindingBytes,
      tuning: gpu.tuning.choices,
      deno: Deno.version.deno,
      system: `${Deno.build.os} ${Deno.build.arch}`,
    });
  }

  async #write(name: string, value: unknown): Promise<void> {
    await writeFileAtomic(join(this.path, name), JSON.stringify(value, null, 2) + "\n");
  }

  /** Appends the metrics and samples of every step, and what the guard saw. */
  recorder(): TrainerCallback {
    return {
      onStepEnd: (_, { metrics, samples }: PpoStats) =>
        this.#record(`the metrics of step ${metrics.step}`, async () => {
          await this.#writer.writeMetrics(metrics);
          await this.#writer.writeSamples(samples);
        }),
      onRollback: ({ steps }) => this.cutBack(steps, { keepEvents: true }),
      onGuardEvent: (_, event) =>
        this.#record(
          `what the guard saw in step ${event.step}`,
          () =>
            Deno.writeTextFile(join(this.path, EVENTS), JSON.stringify(event) + "\n", {
              append: true,
            }),
        ),
    };
  }

  /** Forces the metrics and samples that were written to the disk. */
  async sync(): Promise<void> {
    for (const name of LINE_FILES) {
      try {
        using file = await Deno.open(join(this.path, name), { append: true });
        await file.sync();
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  /** Makes `latest` or `best` name the checkpoint after a step. */
  async point(pointer: Pointer, step: number): Promise<void> {
    const target = relative(this.path, this.checkpoint(step));
    await writeFileAtomic(join(this.path, pointer), target + "\n");
  }

  /**
   * Removes all checkpoints but the `keep` newest and the best; none where `keep` is 0. That of the beginning is removed as
   * soon as there is another.
   */
  async prune(keep: number): Promise<void> {
    const best = await pointed(this.path, "best");
    const all = await listCheckpoints(this.path);
    const old = keep === 0 ? [] : all.slice(0, -keep);
    for (const { step, folder } of all.slice(0, -1)) {
      const goes = step === 0 || old.some((each) => each.folder === folder);
      if (goes && folder !== best) await removeCheckpoint(folder);
    }
  }

  /**
   * Removes what came after a step, so that the run can go on from there.
   *
   * @param options.keepEvents Leaves what the guard saw: why it went back is part of the run.
   */
  async cutBack(
    step: number,
    { keepEvents = false }: { keepEvents?: boolean } = {},
  ): Promise<void> {
    await removeLeftovers(join(this.path, CHECKPOINTS));
    const later = (await listCheckpoints(this.path)).filter((checkpoint) => checkpoint.step > step);
    // The newest first: killed in between, the run still ends with a checkpoint that has its lines.
    for (const { folder } of later.reverse()) await removeCheckpoint(folder);
    for (const name of LINE_FILES) {
      if (!(keepEvents && name === EVENTS)) await cutLines(join(this.path, name), step);
    }
    const left = await listCheckpoints(this.path);
    for (const pointer of ["latest", "best"] as const) {
      const target = await pointed(this.path, pointer);
      if (left.some(({ folder }) => folder === target)) continue;
      if (pointer === "latest" && left.length > 0) await this.point(pointer, left.at(-1)!.step);
      else if (target !== undefined) await Deno.remove(join(this.path, pointer));
    }
  }

  /** Takes over the lines of another run up to a step. */
  async copyLines(run: string, step: number): Promise<void> {
    for (const name of LINE_FILES) {
      const text = await readIfPresent(join(run, name));
      if (text === undefined) continue;
      await Deno.writeTextFile(join(this.path, name), text);
      await cutLines(join(this.path, name), step);
    }
  }

  async #record(what: string, append: () => Promise<void>): Promise<void> {
    try {
      await append();
    } catch (cause) {
      if (!isSystemError(cause)) throw cause;
      throw new RunFolderError(
        `Cannot write ${what}: ${cause.message}; repair that, and go on with --resume ${this.path}`,
        { cause },
      );
    }
  }

  /** Lets other processes train into the folder. */
  [Symbol.dispose](): void {
    this.lock.close();
  }
}

/** The checkpoints of a run folder by their names, oldest first; whether they are whole is not looked at. */
export async function listCheckpoints(path: string): Promise<RunCheckpoint[]> {
  const found: RunCheckpoint[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(join(path, CHECKPOINTS))) {
      const [, step] = name.match(/^step-(\d{6,})$/) ?? [];
      if (isDirectory && step) {
        found.push({ step: Number(step), folder: join(path, CHECKPOINTS, name) });
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a.step - b.step);
}

/** The newest checkpoint of a run folder; undefined where the folder holds no run, or no checkpoint yet. */
export function latestCheckpoint(path: string): Promise<string | undefined> {
  return pointed(path, "latest");
}

/** The best checkpoint of a run folder; undefined where there is none yet. */
export function bestCheckpoint(path: string): Promise<string | undefined> {
  return pointed(path, "best");
}

async function pointed(path: string, pointer: Pointer): Promise<string | undefined> {
  const target = await readIfPresent(join(path, pointer));
  return target === undefined ? undefined : join(path, target.trim());
}

/** In one act, so that a kill leaves no half of a checkpoint under its name. */
async function removeCheckpoint(folder: string): Promise<void> {
  const hidden = folder.replace(/([^/\\]+)$/, ".$1.old");
  await Deno.rename(folder, hidden);
  await Deno.remove(hidden, { recursive: true });
}

/** What a killed program was writing or removing. */
async function removeLeftovers(checkpoints: string): Promise<void> {
  for await (const { name } of Deno.readDir(checkpoints)) {
    if (/^\..*\.(tmp|old)$/.test(name)) {
      await Deno.remove(join(checkpoints, name), { recursive: true });
    }
  }
}

/** Holds the run until the file is closed, or the process is gone. */
async function lockRun(path: string): Promise<Deno.FsFile> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(join(path, LOCK), { write: true, create: true });
  } catch (error) {
    throw isSystemError(error) ? unwritable(path, error) : error;
  }
  let held = true;
  try {
    held = await file.tryLock(true);
  } catch (error) {
    if (!isSystemError(error)) throw error; // some network file systems have no locks
  }
  if (held) return file;
  file.close();
  throw new RunFolderError(
    `Cannot train into ${path}: another process is training there; choose another folder with --out`,
  );
}

function unwritable(path: string, cause: Error): RunFolderError {
  return new RunFolderError(
    `Cannot train into ${path}: ${cause.message}; repair that, or choose another folder with --out`,
    { cause },
  );
}

function writeConfig(path: string, config: TrainConfig): Promise<void> {
  return writeFileAtomic(join(path, CONFIG), JSON.stringify(config, null, 2) + "\n");
}

/** The text of a file of a run; undefined where there is none. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return undefined;
    throw error;
  }
}
