import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { lengthBatches, sampleSources } from "../../train/epoch_batches.ts";
import { Rng } from "../../train/rng.ts";

Deno.test("lengthBatches() has every example once, with little padding, in an order of the seed", () => {
  const draw = new Rng(7);
  const examples = Array.from({ length: 1003 }, (_, id) => ({ id, length: 1 + draw.int(100) }));
  const batch = (seed: number) =>
    lengthBatches(examples, { batchSize: 8, lengthOf: ({ length }) => length, rng: new Rng(seed) });
  const batches = batch(1);
  assertEquals(batches.map(({ length }) => length).sort().slice(0, 2), [3, 8]);
  assertEquals(batches.flat().map(({ id }) => id).sort((a, b) => a - b), examples.map((e) => e.id));

  const cells = batches.map((b) => b.length * Math.max(...b.map(({ length }) => length)));
  const tokens = examples.reduce((sum, { length }) => sum + length, 0);
  const padded = cells.reduce((sum, n) => sum + n) / tokens;
  assert(padded < 1.05, `${padded} cells for each token; batches in random order have 1.8`);
  const first = batches.slice(0, 20).map(([{ length }]) => length);
  assertNotEquals(first, first.toSorted((a, b) => a - b)); // not from short to long

  assertEquals(batch(1), batches);
  assertNotEquals(batch(2), batches);
});

Deno.test("lengthBatches() of few examples is one batch", () => {
  const options = { batchSize: 8, lengthOf: (n: number) => n, rng: new Rng(1) };
  assertEquals(lengthBatches([3, 1, 2], options), [[1, 2, 3]]);
  assertEquals(lengthBatches([], options), []);
});

Deno.test("sampleSources() takes the share of each source", () => {
  const examples = ["a", "b", "c"].flatMap((source) =>
    Array.from({ length: 10 }, (_, id) => ({ source, id }))
  );
  const shares = new Map([["a", 0.4], ["b", 2.5]]);
  const sample = (seed: number) => sampleSources(examples, { shares, rng: new Rng(seed) });
  const counts = (seed: number, source: string) => {
    const found = Array<number>(10).fill(0);
    for (const example of sample(seed)) if (example.source === source) found[example.id]++;
    return found.sort();
  };
  assertEquals(counts(1, "a"), [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
  assertEquals(counts(1, "b"), [2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
  assertEquals(counts(1, "c"), Array(10).fill(1));
  assertEquals(sample(1), sample(1));
  assertNotEquals(sample(1), sample(2));
});
