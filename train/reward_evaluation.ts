import type { Verdict } from "./reward_objectives.ts";
import { mean, standardDeviation } from "./stats.ts";

/** How a reward does on the examples of one source. */
export interface SourceAccuracy {
  /** Name of the source. */
  source: string;
  /** Share that the reward is right about. */
  accuracy: number;
  /** Examples. */
  count: number;
}

/** Margins of pairs: the chosen text's score minus the rejected one's. */
export interface Margins {
  /** In the unit of the scores. */
  mean: number;
  /** Standard deviation, unbiased. */
  std: number;
  /** The smallest. */
  min: number;
  /** The largest. */
  max: number;
}

/** How a reward does on examples that it did not learn from. */
export interface RewardEvaluation {
  /** Mean loss in nats. */
  loss: number;
  /** Share of the examples that it is right about; of pairs, those with a margin above 0. */
  accuracy: number;
  /** Examples. */
  count: number;
  /** In the order of their names. */
  sources: SourceAccuracy[];
  /** Where the examples are pairs. */
  margins?: Margins;
}

/** Sums up the verdicts on at least one example. */
export function summarise(
  verdicts: readonly (Verdict & { source: string })[],
): RewardEvaluation {
  const sources = [...Map.groupBy(verdicts, ({ source }) => source)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([source, those]) => ({ source, accuracy: accuracyOf(those), count: those.length }));
  const margins = verdicts.flatMap(({ margin }) => margin ?? []);
  return {
    loss: mean(verdicts.map(({ loss }) => loss)),
    accuracy: accuracyOf(verdicts),
    count: verdicts.length,
    sources,
    ...(margins.length > 0 && { margins: spread(margins) }),
  };
}

function accuracyOf(verdicts: readonly Verdict[]): number {
  return mean(verdicts.map(({ correct }) => Number(correct)));
}

function spread(margins: readonly number[]): Margins {
  return {
    mean: mean(margins),
    std: standardDeviation(margins),
    min: margins.reduce((a, b) => Math.min(a, b)),
    max: margins.reduce((a, b) => Math.max(a, b)),
  };
}
