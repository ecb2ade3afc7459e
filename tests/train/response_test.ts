import { assertEquals, assertThrows } from "@std/assert";
import { casesOf } from "../helpers/cases.ts";
import { endedByStop, responseLength } from "../../model/stop.ts";
import { responseMask } from "../../train/response.ts";

for (
  const { name, options, input, expected } of casesOf<
    { stop: number[] },
    { ids: number[] },
    { length: number }
  >("responseLength")
) {
  Deno.test(`responseLength() agrees with case ${name}`, () => {
    assertEquals(responseLength(input.ids, options.stop), expected.length);
  });
}

Deno.test("responseLength() truncates as torchtune does", () => {
  const stop = [2, 869];
  const truncated = (ids: number[]) => {
    const length = responseLength(ids, stop);
    return ids.map((id, t) => (t < length ? id : 0));
  };
  const responses = [[869, 30, 869], [2, 30, 869], [13, 2, 20], [13, 2, 2], [2, 2, 2], [13, 30, 5]];
  assertEquals(responses.map(truncated), [
    [869, 0, 0],
    [2, 0, 0],
    [13, 2, 0],
    [13, 2, 0],
    [2, 0, 0],
    [13, 30, 5],
  ]);
});

Deno.test("responseMask() agrees with verl", () => {
  const responses = [
    [20, 10, 34, 1, 0, 0, 0],
    [78, 0, 76, 2, 1, 0, 0],
    [23, 98, 1, 0, 0, 0, 0],
    [33, 3, 98, 45, 1, 0, 0],
  ];
  const masks = (stop: number[]) =>
    responseMask(responses.map((ids) => responseLength(ids, stop)), 7).map((row) => row.join(""));
  assertEquals(masks([1]), ["1111000", "1111100", "1110000", "1111100"]);
  assertEquals(masks([1, 2])[1], "1111000");
});

Deno.test("responseMask() keeps a stop token that is also the pad token", () => {
  const [stop, pad] = [50256, 50256];
  const ids = [5, 6, stop, pad, pad];
  assertEquals(responseMask([responseLength(ids, [stop])], 5), [[1, 1, 1, 0, 0]]);
});

Deno.test("responseLength() takes everything when there are no stop tokens", () => {
  assertEquals(responseLength([1, 2, 3], []), 3);
  assertEquals(responseLength([], [1]), 0);
  assertEquals(responseLength(Uint32Array.of(4, 1, 1), [1]), 2);
});

Deno.test("endedByStop() tells a stop from a cut", () => {
  assertEquals(endedByStop([5, 1], [1]), true);
  assertEquals(endedByStop([5, 6], [1]), false);
  assertEquals(endedByStop([], [1]), false);
});

Deno.test("responseMask() refuses a length that does not fit", () => {
  for (const length of [-1, 1.5, 4, NaN]) {
    assertThrows(() => responseMask([length], 3), RangeError, "Cannot mask response 0");
  }
});
