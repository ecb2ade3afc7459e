import type { Rng } from "./rng.ts";

/** Batches that are sorted by length together: attention takes as many workgroups as the longest row of a batch needs. */
const POOL = 50;

/**
 * One epoch in random order, cut into batches of examples of like length; the last batch may be smaller.
 *
 * The shuffled examples are taken in pools of fifty batches; each pool is sorted by length and cut, and the
 * order of all batches is shuffled.
 */
export function lengthBatches<E>(
  examples: readonly E[],
  { batchSize, lengthOf, rng }: { batchSize: number; lengthOf: (example: E) => number; rng: Rng },
): E[][] {
  const shuffled = rng.shuffle(examples);
  const batches: E[][] = [];
  for (const pool of pieces(shuffled, POOL * batchSize)) {
    batches.push(...pieces(pool.sort((a, b) => lengthOf(a) - lengthOf(b)), batchSize));
  }
  return rng.shuffle(batches);
}

/** The array in pieces of `size`, the last one perhaps smaller. */
export function pieces<E>(array: readonly E[], size: number): E[][] {
  const count = Math.ceil(array.length / size);
  return Array.from({ length: count }, (_, i) => array.slice(i * size, (i + 1) * size));
}

/**
 * The examples of one epoch, where sources do not count alike: of a source with share 0.4, two fifths, drawn
 * anew each time; of one with share 2.5, every example twice and half of them once more.
 *
 * @param options.shares By source; 1 for those that are not in it.
 */
export function sampleSources<E extends { source: string }>(
  examples: readonly E[],
  { shares, rng }: { shares: ReadonlyMap<string, number>; rng: Rng },
): E[] {
  return [...Map.groupBy(examples, ({ source }) => source)].flatMap(([source, those]) => {
    const share = shares.get(source) ?? 1;
    const whole = Math.floor(share);
    const drawn = rng.shuffle(those).slice(0, Math.round((share - whole) * those.length));
    return [...Array.from({ length: whole }, () => those).flat(), ...drawn];
  });
}
