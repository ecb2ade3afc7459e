import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../kernels/runtime/errors.ts";
import { assertClose } from "../helpers/close.ts";
import { checkShapes, maskedRowSums, maskedValues } from "../../train/rows.ts";
import {
  explainedShare,
  maskedMean,
  mean,
  percentile,
  standardDeviation,
  variance,
} from "../../train/stats.ts";

Deno.test("mean() and variance() are unbiased and finite for few numbers", () => {
  assertEquals([mean([]), mean([3]), mean([1, 2, 6])], [0, 3, 3]);
  assertEquals([variance([]), variance([3]), variance([1, 2, 6])], [0, 0, 7]);
  assertEquals(standardDeviation([1, 1, 4, 4, 2.5]), 1.5);
});

Deno.test("variance() does not cancel far from zero", () => {
  assertEquals(variance([1e9 + 1, 1e9 + 2, 1e9 + 3]), 1);
});

Deno.test("maskedMean() averages over tokens", () => {
  // open-instruct, TestMaskedMean: averaging row means would give 2.75.
  assertClose([maskedMean([[1, 2, 3], [4, 5, 6]], [[1, 1, 0], [1, 0, 0]])], [7 / 3], {
    atol: 1e-15,
  });
});

Deno.test("maskedMean() is 0 under an empty mask", () => {
  assertEquals(maskedMean([[1, NaN]], [[0, 0]]), 0);
});

Deno.test("maskedMean() ignores NaN outside the mask and shows NaN inside", () => {
  assertEquals(maskedMean([[1, 2, NaN, 4]], [[1, 0, 0, 1]]), 2.5);
  assertEquals(maskedMean([[1, NaN]], [[1, 1]]), NaN);
});

Deno.test("maskedValues() and maskedRowSums() keep to the mask", () => {
  const [rows, mask] = [[[1, 2, NaN], [NaN, 4, 5]], [[1, 1, 0], [0, 1, 1]]];
  assertEquals(maskedValues(rows, mask), [1, 2, 4, 5]);
  assertEquals(maskedRowSums(rows, mask), [3, 9]);
});

Deno.test("explainedShare() is 1 for a perfect prediction and 0 where nothing varies", () => {
  assertEquals([explainedShare(0, 4), explainedShare(1, 4), explainedShare(8, 4)], [1, 0.75, -1]);
  assertEquals(explainedShare(1, 0), 0);
});

Deno.test("percentile() goes in a line between neighbours", () => {
  // numpy.percentile([4, 1, 3, 2], [0, 25, 50, 95, 100])
  const actual = [0, 0.25, 0.5, 0.95, 1].map((q) => percentile([4, 1, 3, 2], q));
  assertClose(actual, [1, 1.75, 2.5, 3.85, 4], { atol: 1e-15, rtol: 1e-15 });
  assertEquals(percentile([7], 0.95), 7);
  assertEquals(percentile([], 0.5), NaN);
});

Deno.test("checkShapes() names what differs", () => {
  checkShapes("add", [[1, 1]], { x: [[2, 3]] });
  assertThrows(
    () => checkShapes("add", [[1, 1]], { x: [[2, 3]], y: [[2], [3]] }),
    ShapeError,
    "Cannot add: y must have the shape of mask (1, 2), current shape is (2, 1)",
  );
  assertThrows(() => checkShapes("add", [[1]], { x: [] }), ShapeError, "current shape is (0, 0)");
});
