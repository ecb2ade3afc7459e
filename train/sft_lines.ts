/** What `deno task sft` says of a step and of a validation. */

import type { SftValidation } from "./program_events.ts";

/** A step of fine-tuning, for people. */
export interface SftStepFigures {
  /** Counted from 1, and the number of the last. */
  step: number;
  totalSteps: number;
  /** Nats per token. */
  loss: number;
  /** Before clipping. */
  gradNorm: number;
  tokens: number;
  /** Time that the step took. */
  seconds: number;
}

/** `step  10/500 | loss 3.2145 | grad norm  0.81 |   5120 tok/s |    300 ms`. */
export function sftStepLine(
  { step, totalSteps, loss, gradNorm, tokens, seconds }: SftStepFigures,
): string {
  return [
    `step ${String(step).padStart(String(totalSteps).length)}/${totalSteps}`,
    `loss ${loss.toFixed(4)}`,
    `grad norm ${gradNorm.toFixed(2).padStart(5)}`,
    `${(tokens / seconds).toFixed(0).padStart(6)} tok/s`,
    `${(1000 * seconds).toFixed(0).padStart(6)} ms`,
  ].join(" | ");
}

/** Cross-entropy on validation text, by token and by byte. */
export function validationLine({ natsPerToken, natsPerByte, bytes }: SftValidation): string {
  return `validation: ${natsPerToken.toFixed(4)} nats/token, ` +
    `${natsPerByte.toFixed(4)} nats/byte (${bytes} UTF-8 bytes)`;
}
