/** Callbacks that keep metrics in the files of other tools. */

import { join } from "node:path";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import { fileVersion, summaryEvent, type SummaryValue } from "./tensorboard.ts";

/**
 * Appends the metrics of every step to a CSV file, one column a metric, with a line of names first.
 *
 * A metric that the first step did not have gets no column. Numbers that were not measured are empty.
 */
export function csvLogger(path: string): TrainerCallback {
  let columns: string[] | undefined;
  return {
    async onTrainBegin(trainer) {
      columns = await cutCsv(path, trainer.steps);
    },
    async onRollback(trainer) {
      columns = await cutCsv(path, trainer.steps);
    },
    async onStepEnd(_, { metrics }) {
      const values = metrics as Record<string, number>;
      if (!columns) {
        columns = Object.keys(values);
        await append(path, columns.join(",") + "\n");
      }
      const cells = columns.map((name) => Number.isFinite(values[name]) ? values[name] : "");
      await append(path, cells.join(",") + "\n");
    },
  };
}

/**
 * Writes TensorBoard event files into `folder`: every metric as a scalar, scores and advantages as histograms, and
 * the samples of every `textEvery`-th step as text.
 *
 * Every `train` begins a file of its own, as TensorBoard expects of a run that goes on.
 */
export function tensorBoard(
  folder: string,
  { textEvery = 10 }: { textEvery?: number } = {},
): TrainerCallback {
  let path: string | undefined;
  const now = () => Date.now() / 1000;
  return {
    async onTrainBegin() {
      const started = now();
      path = join(folder, `events.out.tfevents.${started.toFixed(6)}.kl-guard`);
      await Deno.mkdir(folder, { recursive: true });
      await Deno.writeFile(path, fileVersion(started), { createNew: true });
    },
    async onStepEnd(_, stats) {
      if (path === undefined) return;
      const { step } = stats.metrics;
      const withText = textEvery > 0 && step % textEvery === 0;
      const values = [...scalars(stats), ...histograms(stats), ...(withText ? texts(stats) : [])];
      await append(path, summaryEvent({ wallTime: now(), step, values }));
    },
  };
}

function scalars({ metrics }: PpoStats): SummaryValue[] {
  return Object.entries(metrics)
    .filter(([name, value]) => name !== "step" && Number.isFinite(value))
    .map(([tag, scalar]) => ({ tag, scalar }));
}

function histograms({ samples, advantages }: PpoStats): SummaryValue[] {
  return [
    { tag: "scores", histogram: samples.map(({ score }) => score) },
    { tag: "advantages", histogram: advantages },
  ];
}

/** Four spaces before a line make it code in Markdown, in which nothing else has a meaning. */
function texts({ samples }: PpoStats): SummaryValue[] {
  return samples.slice(0, 8).map(({ prompt, response, score }, i) => ({
    tag: `sample/${i}`,
    text: `score ${score}\n\n    ${(prompt + response).replaceAll(/\s*\n\s*/g, "\n    ")}`,
  }));
}

/** Removes rows after `step`, which a resumed run takes again; gives the names of the columns, if there is a file. */
async function cutCsv(path: string, step: number): Promise<string[] | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const [head, ...rows] = text.split("\n").slice(0, -1); // what follows the last line break is not whole
  if (head === undefined) return undefined;
  const columns = head.split(",");
  const at = columns.indexOf("step");
  const kept = rows.filter((row) => Number(row.split(",")[at]) <= step);
  const whole = [head, ...kept].map((line) => line + "\n").join("");
  if (whole !== text) await Deno.writeTextFile(path, whole);
  return columns;
}

async function append(path: string, data: string | Uint8Array): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  await Deno.writeFile(path, bytes, { append: true });
}
