import type { PpoMetrics } from "./metrics.ts";

/** One sampled response, as samples.jsonl keeps it. */
export interface SampleRecord {
  /** PPO step, counted from 1. */
  step: number;
  /** What the policy was given. */
  prompt: string;
  /** What it wrote. */
  response: string;
  /** Of the reward. */
  score: number;
  /** Nats per response, by the chosen estimator. */
  kl: number;
  /** Token by token, where it was kept: its text, its KL to the reference in nats, its advantage before whitening. */
  tokens?: { text: string; kl: number; advantage?: number }[];
}

/**
 * Appends text to a file and resolves when it is handed to the system, so that a program that is
 * killed later loses nothing. In Deno: `(text) => Deno.writeTextFile(path, text, { append: true })`.
 */
export type AppendText = (text: string) => Promise<void>;

/**
 * Writes metrics.jsonl and samples.jsonl: one JSON object per line, each call one append.
 *
 * Numbers that were not measured or overflowed (NaN, infinities) become null, as JSON has it.
 */
export class MetricsWriter {
  readonly #metrics: AppendText;
  readonly #samples: AppendText;

  constructor(files: { metrics: AppendText; samples: AppendText }) {
    this.#metrics = files.metrics;
    this.#samples = files.samples;
  }

  /** Appends the line of one PPO step. */
  async writeMetrics(metrics: PpoMetrics): Promise<void> {
    await this.#metrics(JSON.stringify(metrics) + "\n");
  }

  /** Appends one line per sample. */
  async writeSamples(samples: readonly SampleRecord[]): Promise<void> {
    await this.#samples(samples.map((sample) => JSON.stringify(sample) + "\n").join(""));
  }
}
