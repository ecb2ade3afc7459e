/** How the learning rate goes on after the warm-up: stays, or falls to 0 in a line or half a cosine. */
export type ScheduleKind = "constant" | "linear" | "cosine";

/** Settings of {@linkcode learningRateAt}. */
export interface Schedule {
  /** How it goes on after the warm-up. */
  kind: ScheduleKind;
  /** The highest rate. */
  learningRate: number;
  /** Steps in all, warm-up included; the rate would be 0 at this step. */
  totalSteps: number;
  /** Steps before the highest rate is reached. */
  warmupSteps?: number;
}

/**
 * Learning rate of step `step`, counted from 0. In PPO a step is a whole PPO step, not a minibatch.
 *
 * The warm-up rises in a line, `(step + 1) / (warmupSteps + 1)`, so that the first step already
 * moves. Then `k` of `n` remaining steps gives `1 - k / n` (linear) or `(1 + cos(pi * k / n)) / 2`.
 *
 * @throws {RangeError} If `totalSteps` is not above `warmupSteps`, or a number is out of range.
 */
export function learningRateAt(
  step: number,
  { kind, learningRate, totalSteps, warmupSteps = 0 }: Schedule,
): number {
  if (!(learningRate >= 0 && warmupSteps >= 0 && totalSteps > warmupSteps)) {
    throw new RangeError(
      `Cannot schedule a learning rate of ${learningRate} with ${warmupSteps} warm-up steps of ` +
        `${totalSteps}: the rate and the warm-up must be 0 or more, and the total above the warm-up`,
    );
  }
  if (step < warmupSteps) return (learningRate * (step + 1)) / (warmupSteps + 1);
  const done = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
  return learningRate * DECAY[kind](done);
}

/** Share of the highest rate that is left when the share `done` of the steps is over. */
const DECAY: Record<ScheduleKind, (done: number) => number> = {
  constant: () => 1,
  linear: (done) => 1 - done,
  cosine: (done) => (1 + Math.cos(Math.PI * done)) / 2,
};
