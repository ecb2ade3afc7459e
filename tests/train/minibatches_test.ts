import { assert, assertEquals, assertThrows } from "@std/assert";
import { assertClose } from "../helpers/close.ts";
import { minibatches, type MinibatchOptions } from "../../train/minibatches.ts";
import { Rng } from "../../train/rng.ts";

const TOKENS = [3, 1, 4, 1, 5, 9, 2]; // (B)
const cut = (options: MinibatchOptions, seed = 1, tokens = TOKENS) => [
  ...minibatches(tokens, options, new Rng(seed)),
];

Deno.test("minibatches() shows every row once an epoch", () => {
  const all = cut({ epochs: 3, miniBatchSize: 3 });
  assertEquals(all.map(({ epoch }) => epoch), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
  assertEquals(all.map(({ rows }) => rows.length), [3, 3, 1, 3, 3, 1, 3, 3, 1]);
  for (const epoch of [0, 1, 2]) {
    const rows = all.filter((minibatch) => minibatch.epoch === epoch).flatMap(({ rows }) => rows);
    assertEquals(rows.toSorted((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6]);
  }
});

Deno.test("minibatches() shuffles afresh each epoch, the same for the same seed", () => {
  const halves = (seed: number) =>
    cut({ epochs: 4, miniBatchSize: 4 }, seed).map(({ rows }) => rows.join());
  assertEquals(new Set(halves(1)).size, 8);
  assertEquals(halves(1), halves(1));
  assert(halves(2)[0] !== halves(1)[0]);
});

Deno.test("minibatches() cuts each minibatch into micro-batches without losing a row", () => {
  for (const minibatch of cut({ epochs: 2, miniBatchSize: 5, microBatchSize: 2 })) {
    const { rows, microBatches } = minibatch;
    assertEquals(microBatches.flatMap((micro) => micro.rows), rows);
    assert(microBatches.every((micro) => micro.rows.length <= 2));
    for (const { rows, tokens } of [minibatch, ...microBatches]) {
      assertEquals(tokens, rows.reduce((total, b) => total + TOKENS[b], 0));
    }
  }
});

Deno.test("minibatches() are the same rows whatever the micro-batch size", () => {
  const rows = (microBatchSize: number) =>
    cut({ epochs: 2, miniBatchSize: 4, microBatchSize }).map(({ rows }) => rows);
  assertEquals(rows(1), rows(4));
});

Deno.test("minibatches() weigh tokens so that accumulation equals the big batch", () => {
  // labs-molt: losses 2, 2, 2 in one micro-batch and 10 in the other make 4, not 6.
  const losses = [[2, 2, 2], [10]];
  const [minibatch] = cut({ epochs: 1, miniBatchSize: 2, microBatchSize: 1 }, 1, [3, 1]);
  const total = minibatch.microBatches
    .flatMap(({ rows }) => rows.flatMap((b) => losses[b]))
    .reduce((sum, loss) => sum + loss * minibatch.tokenWeight, 0);
  assertClose([total], [4], { atol: 1e-15 });
});

Deno.test("minibatches() give weight 0 to a minibatch without tokens", () => {
  const [minibatch] = cut({ epochs: 1, miniBatchSize: 2 }, 1, [0, 0]);
  assertEquals([minibatch.tokens, minibatch.tokenWeight], [0, 0]);
});

Deno.test("minibatches() of an empty batch are none", () => {
  assertEquals(cut({ epochs: 2, miniBatchSize: 2 }, 1, []), []);
});

Deno.test("minibatches() refuse sizes that are not positive integers", () => {
  const valid = { epochs: 1, miniBatchSize: 2, microBatchSize: 1 };
  for (const name of ["epochs", "miniBatchSize", "microBatchSize"]) {
    for (const value of [0, -1, 1.5, NaN]) {
      assertThrows(() => cut({ ...valid, [name]: value }), RangeError, `with ${name} ${value}`);
    }
  }
});
