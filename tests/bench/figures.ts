/** What the benches do with the numbers that they took. */

import { mean } from "../../train/stats.ts";

/** A point of a curve, both above 0. */
export interface Point {
  x: number;
  y: number;
}

/** The exponent p of the y = c x^p that lies nearest to the points: the slope of a line through their logarithms. */
export function exponent(points: readonly Point[]): number {
  const [xs, ys] = [points.map(({ x }) => Math.log(x)), points.map(({ y }) => Math.log(y))];
  const [meanX, meanY] = [mean(xs), mean(ys)];
  const covariance = mean(xs.map((x, i) => (x - meanX) * (ys[i]! - meanY)));
  return covariance / mean(xs.map((x) => (x - meanX) ** 2));
}

/** Lines of a Markdown table, which reads well in a terminal too; the first `left` columns are aligned to the left. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  left = 1,
): string[] {
  const widths = head.map((cell, i) =>
    Math.max(3, cell.length, ...rows.map((row) => row[i]!.length))
  );
  const line = (cells: readonly string[]) =>
    `| ${
      cells.map((cell, i) => i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))
        .join(" | ")
    } |`;
  const rule = widths.map((width, i) => i < left ? "-".repeat(width) : `${"-".repeat(width - 1)}:`);
  return [line(head), line(rule), ...rows.map(line)];
}

/** A number with three digits, without an exponent. */
export function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}
