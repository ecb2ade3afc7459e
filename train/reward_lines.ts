/** The lines that `deno task reward` prints. */

import type { RewardEvaluation } from "./reward_evaluation.ts";
import type { FitProgress } from "./reward_fit.ts";

/** How the training goes; `seconds` since it began, for its speed. */
export function progressLine(
  { step, epoch, loss, gradNorm }: FitProgress,
  { totalSteps, epochs, seconds }: { totalSteps: number; epochs: number; seconds: number },
): string {
  return [
    `epoch ${epoch + 1}/${epochs}`,
    `step ${String(step).padStart(String(totalSteps).length)}/${totalSteps}`,
    `loss ${loss.toFixed(4)}`,
    `grad norm ${gradNorm.toFixed(2).padStart(5)}`,
    `${(step / seconds).toFixed(1)} steps/s`,
  ].join(" | ");
}

/** How the model does on held-out data: accuracy in all and by source, loss, and the margins of pairs. */
export function evaluationLine(
  { accuracy, count, loss, sources, margins }: RewardEvaluation,
): string {
  const named = sources.filter(({ source }) => source !== "");
  const parts = named.map((part) => `${part.source} ${part.accuracy.toFixed(4)} of ${part.count}`);
  return [
    `accuracy ${accuracy.toFixed(4)} of ${count}${
      parts.length > 0 ? ` (${parts.join(", ")})` : ""
    }`,
    `loss ${loss.toFixed(4)}`,
    ...(margins
      ? [
        `margin ${margins.mean.toFixed(3)} +- ${margins.std.toFixed(3)}, ` +
        `${margins.min.toFixed(3)} to ${margins.max.toFixed(3)}`,
      ]
      : []),
  ].join(" | ");
}
