import { digits } from "./figures.ts";

/** What is compared of the results that the benches print as JSON, a line a workload. */
export interface BenchResult {
  name: string;
  adapter: { description: string };
  step: { seconds: number; phases: Record<string, { seconds: number }> };
  generation: { rows: number; tokensPerSecond: number }[];
}

/**
 * A row for each figure that both have: what it is, ours, theirs, and how many times faster ours is. Phases below a
 * millisecond are left out.
 */
export function comparisonRows(
  ours: readonly BenchResult[],
  theirs: readonly BenchResult[],
): string[][] {
  return ours.flatMap((own) => {
    const other = theirs.find(({ name }) => name === own.name);
    if (!other) return [];
    const seconds = (what: string, a: number, b: number) => [
      `${own.name}, ${what}`,
      `${digits(a)} s`,
      `${digits(b)} s`,
      `${digits(b / a)} x`,
    ];
    const phases = Object.entries(own.step.phases).flatMap(([phase, { seconds: a }]) => {
      const b = other.step.phases[phase]?.seconds ?? 0;
      return Math.max(a, b) < 1e-3 ? [] : [seconds(phase, a, b)];
    });
    const generation = own.generation.flatMap(({ rows, tokensPerSecond: a }) => {
      const b = other.generation.find((one) => one.rows === rows)?.tokensPerSecond;
      if (b === undefined) return [];
      return [[
        `${own.name}, generation at batch ${rows}`,
        `${digits(a)} tokens/s`,
        `${digits(b)} tokens/s`,
        `${digits(a / b)} x`,
      ]];
    });
    return [seconds("step", own.step.seconds, other.step.seconds), ...phases, ...generation];
  });
}
