import { basename, join } from "node:path";
import type { EvaluationSummary } from "./comparison.ts";
import type { SampleRecord } from "./metrics_writer.ts";
import { readIfPresent, RunFolderError } from "./run_folder.ts";

/** A response of an evaluation, the first ones with what each token moved away from the reference. */
export type EvaluatedSample = Pick<SampleRecord, "prompt" | "response" | "score" | "tokens">;

/** Both evaluations of a run, as `evaluation.json` has them; the second is missing until the end. */
export type RunEvaluations = Partial<
  Record<"before" | "after", { summary: EvaluationSummary; samples: EvaluatedSample[] }>
>;

/** Everything that a run folder says of a run, finished or not. */
export interface RunRecord {
  /** Last part of the path. */
  name: string;
  path: string;
  /** `config.json`. */
  settings: Record<string, unknown>;
  /** `metrics.jsonl`, one row a step. */
  metrics: Record<string, unknown>[];
  /** `samples.jsonl`. */
  samples: SampleRecord[];
  /** `events.jsonl`: what the guard saw and did. */
  events: Record<string, unknown>[];
  /** `evaluation.json`. */
  evaluation: RunEvaluations;
  /** `environment.json`: adapter, versions. */
  environment: Record<string, unknown>;
}

/**
 * Reads a run folder. Files that are not there yet read as empty; a last line that a killed program left
 * half written is skipped.
 *
 * @throws {RunFolderError} If the folder holds no run, or a file of it is broken.
 */
export async function readRun(path: string): Promise<RunRecord> {
  const settings = await readJson(join(path, "config.json"));
  if (settings === undefined) {
    throw new RunFolderError(
      `Cannot read the run ${path}: it has no config.json; give the folder that train wrote`,
    );
  }
  const lines = (name: string) => readLines(join(path, name));
  return {
    name: basename(path.replace(/\/+$/, "")),
    path,
    settings,
    metrics: await lines("metrics.jsonl"),
    samples: (await lines("samples.jsonl")) as unknown as SampleRecord[],
    events: await lines("events.jsonl"),
    evaluation: (await readJson(join(path, "evaluation.json")) ?? {}) as RunEvaluations,
    environment: await readJson(join(path, "environment.json")) ?? {},
  };
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readIfPresent(path);
  return text === undefined ? undefined : parse(text, path);
}

async function readLines(path: string): Promise<Record<string, unknown>[]> {
  const text = await readIfPresent(path) ?? "";
  const lines = text.split("\n").slice(0, -1); // what follows the last line break is not whole
  return lines.map((line, index) => parse(line, `${path}, line ${index + 1}`));
}

function parse(text: string, place: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw new RunFolderError(`Cannot read ${place}: it is not JSON; remove or repair it`, {
      cause,
    });
  }
  throw new RunFolderError(`Cannot read ${place}: it is not a JSON object; remove or repair it`);
}
