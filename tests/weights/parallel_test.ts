import { assertEquals, assertRejects } from "@std/assert";
import { inParallel } from "../../weights/parallel.ts";

Deno.test("inParallel() keeps the order and the limit", async () => {
  let running = 0;
  let most = 0;
  const results = await inParallel([30, 10, 20, 5, 1], 2, async (ms) => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, ms));
    running--;
    return ms * 2;
  });
  assertEquals(results, [60, 20, 40, 10, 2]);
  assertEquals(most, 2);
});

Deno.test("inParallel() throws the first error when all that was begun has ended", async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  const run = inParallel([0, 1, 2, 3], 2, async (i, signal) => {
    begun.push(i);
    if (i === 1) throw new RangeError("one");
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    await Promise.resolve();
    ended.push(i);
    signal.throwIfAborted();
  });
  await assertRejects(() => run, RangeError, "one");
  assertEquals([begun, ended], [[0, 1], [0]]);
});
