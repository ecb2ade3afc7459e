import type { PpoMetrics } from "./metrics.ts";

/** One figure of a line: its name, its unit, and how its number is written. */
interface Figure {
  name: string;
  unit?: string;
  /** Columns of the number, so that the lines of a run stand in columns. */
  width: number;
  read: (metrics: PpoMetrics) => number;
  digits: number;
}

const FIGURES: readonly Figure[] = [
  { name: "reward", width: 6, digits: 3, read: (m) => m["objective/scores"] },
  { name: "kl", width: 6, digits: 4, read: (m) => m["objective/kl_full"] },
  { name: "beta", width: 5, digits: 3, read: (m) => m["objective/kl_coef"] },
  { name: "entropy", width: 4, digits: 2, read: (m) => m["ppo/policy/entropy"] },
  { name: "loss", width: 7, digits: 4, read: (m) => m["ppo/loss/total"] },
  { name: "", unit: "tok/s", width: 5, digits: 0, read: (m) => m["perf/tokens_per_second"] },
  { name: "", unit: "ms", width: 6, digits: 0, read: (m) => 1000 * m["timing_s/total"] },
];

/**
 * A step in a line: `step  3/75 | reward  0.472 | kl 0.0035 | beta 0.250 | entropy 4.21 | loss  0.0312 |   252 tok/s |   4013 ms`.
 *
 * The KL is exact, in nats per token; the entropy in nats per token. What was not measured is `-`.
 *
 * @param last The number of the last step, for the width of the first column.
 */
export function stepLine(metrics: PpoMetrics, last: number): string {
  const step = String(metrics.step).padStart(String(last).length);
  const figures = FIGURES.map((figure) =>
    [figure.name, numberOf(figure, metrics), figure.unit].filter(Boolean).join(" ")
  );
  return [`step ${step}/${last}`, ...figures].join(" | ");
}

/** The titles of {@linkcode stepRow}. */
export function stepTitles(last: number): string {
  return row(`step/${last}`, FIGURES.map(({ name, unit }) => name || unit!), last);
}

/** The same figures as {@linkcode stepLine} has, without their names: for terminals that it is too long for. */
export function stepRow(metrics: PpoMetrics, last: number): string {
  return row(String(metrics.step), FIGURES.map((figure) => numberOf(figure, metrics)), last);
}

function row(step: string, cells: readonly string[], last: number): string {
  const padded = cells.map((cell, i) => {
    const { name, unit = "", width } = FIGURES[i]!;
    return cell.padStart(Math.max(width, name.length, unit.length));
  });
  return [step.padStart(`step/${last}`.length), ...padded].join("  ");
}

function numberOf({ read, digits, width }: Figure, metrics: PpoMetrics): string {
  const number = read(metrics);
  return (Number.isFinite(number) ? number.toFixed(digits) : "-").padStart(width);
}
