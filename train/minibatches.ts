import type { Rng } from "./rng.ts";

/** One forward and backward pass. */
export interface MicroBatch {
  /** Which rows of the batch, in its order. */
  rows: readonly number[];
  /** Response tokens in these rows. */
  tokens: number;
}

/** One optimizer step: gradients of all its micro-batches add up before the step. */
export interface Minibatch {
  /** From 0. */
  epoch: number;
  /** Which rows of the batch, in its order. */
  rows: readonly number[];
  /** Response tokens in these rows. */
  tokens: number;
  /**
   * Weight of one token in the loss of every micro-batch: 1 / `tokens`, 0 when there is none. Sums
   * times this weight make the mean over the minibatch exact, however it is cut.
   */
  tokenWeight: number;
  microBatches: readonly MicroBatch[];
}

/** Settings of {@linkcode minibatches}. */
export interface MinibatchOptions {
  /** Passes over the batch. */
  epochs: number;
  /** Rows per optimizer step. */
  miniBatchSize: number;
  /** Rows per forward and backward pass; `miniBatchSize` when absent. */
  microBatchSize?: number;
}

/**
 * Cuts a batch into minibatches at random, anew each epoch. Every row comes once an epoch; the last minibatch may be
 * smaller. Rows of a minibatch stay in the batch's order, which means nothing to their sum.
 *
 * @param tokens (B) response tokens of every row.
 * @throws {RangeError} If a setting is not a positive integer.
 */
export function* minibatches(
  tokens: ArrayLike<number>,
  options: MinibatchOptions,
  rng: Rng,
): Generator<Minibatch, void> {
  const { epochs, miniBatchSize, microBatchSize = miniBatchSize } = options;
  for (const [name, value] of Object.entries({ epochs, miniBatchSize, microBatchSize })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(
        `Cannot cut a batch with ${name} ${value}: it must be an integer of 1 or more`,
      );
    }
  }
  const count = (rows: readonly number[]) => rows.reduce((total, b) => total + tokens[b], 0);
  const batch = Array.from(tokens, (_, b) => b);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const shuffled of chunks(rng.shuffle(batch), miniBatchSize)) {
      const rows = shuffled.toSorted((a, b) => a - b);
      const total = count(rows);
      yield {
        epoch,
        rows,
        tokens: total,
        tokenWeight: total > 0 ? 1 / total : 0,
        microBatches: chunks(rows, microBatchSize).map((micro) => ({
          rows: micro,
          tokens: count(micro),
        })),
      };
    }
  }
}

function chunks<T>(array: readonly T[], size: number): T[][] {
  return Array.from(
    { length: Math.ceil(array.length / size) },
    (_, i) => array.slice(i * size, (i + 1) * size),
  );
}
