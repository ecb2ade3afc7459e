import { assertEquals, assertThrows } from "@std/assert";
import { assertClose } from "../helpers/close.ts";
import { learningRateAt, type Schedule } from "../../train/schedule.ts";

const rates = (schedule: Schedule, steps: number) =>
  Array.from({ length: steps }, (_, step) => learningRateAt(step, schedule));
const F64 = { atol: 1e-15 }; // a handful of operations on numbers of order 1

Deno.test("learningRateAt() stays constant", () => {
  assertEquals(
    rates({ kind: "constant", learningRate: 3, totalSteps: 4 }, 6),
    [3, 3, 3, 3, 3, 3],
  );
});

Deno.test("learningRateAt() falls in a line to 0 at the total", () => {
  const actual = rates({ kind: "linear", learningRate: 1, totalSteps: 4 }, 6);
  assertClose(actual, [1, 0.75, 0.5, 0.25, 0, 0], F64);
});

Deno.test("learningRateAt() falls in half a cosine to 0 at the total", () => {
  const actual = rates({ kind: "cosine", learningRate: 2, totalSteps: 4 }, 6);
  assertClose(actual, [2, 1 + Math.SQRT1_2, 1, 1 - Math.SQRT1_2, 0, 0], F64);
});

Deno.test("learningRateAt() warms up in a line from above 0, then decays over the rest", () => {
  const schedule = { learningRate: 1, totalSteps: 5, warmupSteps: 3 };
  assertClose(
    rates({ ...schedule, kind: "linear" }, 6),
    [0.25, 0.5, 0.75, 1, 0.5, 0],
    F64,
  );
  assertClose(rates({ ...schedule, kind: "constant" }, 5), [0.25, 0.5, 0.75, 1, 1], F64);
});

Deno.test("learningRateAt() refuses an impossible schedule", () => {
  const schedule: Schedule = { kind: "linear", learningRate: 1, totalSteps: 4 };
  for (
    const impossible of [
      { totalSteps: 0 },
      { totalSteps: NaN },
      { warmupSteps: 4 },
      { warmupSteps: -1 },
      { learningRate: -1 },
      { learningRate: NaN },
    ]
  ) {
    assertThrows(() => learningRateAt(0, { ...schedule, ...impossible }), RangeError);
  }
});
