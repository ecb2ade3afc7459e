import { type Evaluation, judgedRise, riseInStandardErrors } from "./evaluate.ts";
import { visible, wrap } from "./shown_text.ts";

/** How a comparison is shown. */
export interface ComparisonOptions {
  /** What the first and the second evaluation are of, in at most 10 letters. */
  names?: readonly [string, string];
  /** Prompts of which both texts are shown. */
  texts?: number;
  /** Columns that a line of text may take (default: as many as it needs). */
  columns?: number;
}

/** The table of two evaluations of the same prompts, and a few of their texts side by side. */
export function comparison(
  before: Evaluation,
  after: Evaluation,
  { names = ["before", "after"], texts = 6, columns = Infinity }: ComparisonOptions = {},
): string[] {
  const cells = (name: string, a: string, b: string) =>
    [name.padEnd(26), a.padStart(10), b.padStart(10)].join("  ");
  const row = (name: string, read: (evaluation: Evaluation) => string) =>
    cells(name, read(before), read(after));
  const rise = riseInStandardErrors(before, after);
  const judged = judgedRise(before, after);
  const lines = [
    cells("", ...names),
    row("mean reward", ({ meanScore }) => meanScore.toFixed(3)),
    row("standard error", (evaluation) => standardError(evaluation).toFixed(3)),
    ...(judged === undefined
      ? []
      : [row("mean score of the judge", ({ judge }) => judge!.meanScore.toFixed(3))]),
    row("KL to reference, nats/token", ({ kl }) => kl.toFixed(4)),
    row("distinct-2", ({ distinct2 }) => distinct2.toFixed(3)),
    row("tokens per response", ({ meanLength }) => meanLength.toFixed(1)),
    "",
    `The mean reward ${rise < 0 ? "fell" : "rose"} by ${
      Math.abs(rise).toFixed(1)
    } standard errors ` +
    `of the difference, over ${after.samples.length} responses each.`,
    ...(judged === undefined ? [] : [
      `By the judge, which was not trained on, it ${judged < 0 ? "fell" : "rose"} by ${
        Math.abs(judged).toFixed(1)
      }.`,
    ]),
  ];
  const width = Math.max(...names.map((name) => name.length));
  const indent = width + 10;
  const textLines = (name: string, { score, response }: Evaluation["samples"][number]) =>
    wrap(visible(response).trim(), Math.max(10, columns - indent)).map((text, line) =>
      (line > 0 ? "" : `  ${name.padEnd(width)} ${score.toFixed(2).padStart(6)}`).padEnd(indent) +
      text
    );
  for (const [index, sample] of after.samples.slice(0, texts).entries()) {
    lines.push(
      "",
      ...wrap(`${visible(sample.prompt).trim()} ...`, columns),
      ...textLines(names[0], before.samples[index]),
      ...textLines(names[1], sample),
    );
  }
  return lines;
}

/** An evaluation's numbers without its texts. */
export type EvaluationSummary = Omit<Evaluation, "samples"> & { responses: number };

/** An evaluation's numbers without its texts, for a line of JSON. */
export function summary({ samples, ...numbers }: Evaluation): EvaluationSummary {
  return { ...numbers, responses: samples.length };
}

function standardError({ stdScore, samples }: Evaluation): number {
  return stdScore / Math.sqrt(samples.length);
}
