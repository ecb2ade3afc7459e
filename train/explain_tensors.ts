/** What an explained PPO step is made of: sections with tensors, laid out as one rollout is. */

import type { PpoRun } from "./ppo.ts";
import type { Rollout } from "./rollout.ts";
import { tokenRecords } from "./token_records.ts";

/** A tensor of the step. */
export interface ExplainedTensor {
  name: string;
  /** As it is laid out: "(B, R) = (2, 8) nats". */
  shape: string;
  doc: string;
  /** What stands beside each other in a row: one number for several tokens, or different numbers. */
  across: "tokens" | "figures";
  /** What a row is. */
  of: "prompt" | "response" | "optimizer step" | "part";
  /** Names of the rows (default: their numbers). */
  labels?: string[];
  /** The value that is neither high nor low, for colours; none where numbers are only names, such as ids. */
  neutral?: number;
  /** A row may be shorter than the shape, where the rest is padding. */
  rows: number[][];
  /** What the columns are, for each row: tokens of a response, names of statistics. */
  columns: string[][];
}

/** A part of the step. */
export interface ExplainedSection {
  title: string;
  /** What is computed, and where that is from. */
  formulas: { formula: string; source: string }[];
  /** The function that computes it, and its kernels. */
  code: string;
  tensors: ExplainedTensor[];
  /** One element worked out by hand, and what to look at. */
  notes: string[];
}

/** Makes sections' tensors, with the columns and shapes of one rollout. */
export class Shower {
  readonly tokens: string[][];
  readonly #shapes: string;

  constructor(readonly run: PpoRun, readonly rollout: Rollout) {
    const { mask, R } = rollout;
    this.tokens = mask.map((_, b) =>
      tokenRecords(run.policy.tokenizer, rollout, b, { kl: mask }).map(({ text }) => text)
    );
    this.#shapes = `(B, R) = (${mask.length}, ${R})`;
  }

  /** A number for each response token; what lies outside the mask is left out. */
  perToken(
    name: string,
    unit: string,
    doc: string,
    rows: readonly number[][],
    { neutral = 0 }: { neutral?: number } = {},
  ): ExplainedTensor {
    const { mask } = this.rollout;
    return {
      name,
      shape: `${this.#shapes} ${unit}`.trim(),
      doc,
      across: "tokens",
      of: "response",
      neutral,
      rows: rows.map((row, b) => row.filter((_, r) => mask[b][r] === 1)),
      columns: this.tokens,
    };
  }

  /** The first response with tokens, and the place of its last one: what notes work out. */
  get example(): { b: number; last: number } {
    const b = Math.max(0, this.rollout.responseLengths.findIndex((length) => length > 0));
    return { b, last: this.rollout.responseLengths[b] - 1 };
  }
}

/** As numbers stand everywhere in an explanation. */
export function digits(x: number): string {
  return x.toFixed(4);
}

/** The same, but whole numbers, such as ids, as they are. */
export function figure(x: number): string {
  return Number.isInteger(x) ? String(x) : digits(x);
}

/** A token with its spaces and line ends visible. */
export function visible(text: string): string {
  return JSON.stringify(text).slice(1, -1).replace(/^ /, "·");
}

/** The same inside a sum or product. */
export function term(x: number): string {
  return x < 0 ? `(${digits(x)})` : digits(x);
}
