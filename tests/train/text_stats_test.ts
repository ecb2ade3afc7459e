import { assertEquals } from "@std/assert";
import { assertClose } from "../helpers/close.ts";
import { distinctN, meanLength, repetitionRate } from "../../train/text_stats.ts";

Deno.test("distinctN() pools n-grams over all texts", () => {
  assertEquals(distinctN(["a b c", "a b d"], 1), 4 / 6);
  assertEquals(distinctN(["a b c", "a b d"], 2), 3 / 4);
});

Deno.test("distinctN() makes no n-gram across two texts", () => {
  assertEquals(distinctN(["a", "b"], 2), 0);
  assertEquals(distinctN([], 1), 0);
});

Deno.test("distinctN() reads words without regard to case, and marks on their own", () => {
  assertEquals(distinctN(["The the THE"], 1), 1 / 3);
  assertEquals(distinctN(["don't, don’t"], 1), 1); // don't , don’t
  assertEquals(meanLength(["It's good, very good!"]), 6);
});

Deno.test("distinctN() sees a collapse to punctuation", () => {
  assertEquals(distinctN(["....."], 2), 1 / 4);
});

Deno.test("repetitionRate() looks inside each text only", () => {
  assertEquals(repetitionRate(["a b c", "a b c"], 2), 0);
  assertClose([repetitionRate(["good good good good", "a b c d"], 2)], [(2 / 3 + 0) / 2], {
    atol: 1e-15,
  });
});

Deno.test("repetitionRate() leaves out texts that are too short", () => {
  assertEquals(repetitionRate(["", "a", "b b b"], 2), 0.5);
  assertEquals(repetitionRate([""], 1), 0);
});

Deno.test("meanLength() counts empty texts", () => {
  assertEquals(meanLength(["one two", ""]), 1);
  assertEquals(meanLength([]), 0);
});
