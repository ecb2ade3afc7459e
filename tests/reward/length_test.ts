import { assertEquals, assertThrows } from "@std/assert";
import { LengthReward } from "../../reward/length.ts";
import { samplesOf } from "../helpers/samples.ts";

const words = (count: number) => " word".repeat(count);
const score = (options: { target: number; tolerance?: number }, ...counts: number[]) =>
  new LengthReward(options).score(samplesOf(...counts.map(words)));

Deno.test("LengthReward is 1 within the tolerance, and falls evenly beyond it", () => {
  assertEquals(score({ target: 10, tolerance: 2 }, 8, 10, 12), [1, 1, 1]);
  assertEquals(score({ target: 10, tolerance: 2 }, 3, 17), [0.5, 0.5]);
  assertEquals(score({ target: 10 }, 9, 10, 11), [0.9, 1, 0.9]);
});

Deno.test("LengthReward stays within [0, 1]", () => {
  assertEquals(score({ target: 10 }, 0, 20, 500), [0, 0, 0]);
  assertEquals(score({ target: 1, tolerance: 0 }, 0, 1, 2), [0, 1, 0]);
});

Deno.test("LengthReward counts punctuation marks as words", () => {
  assertEquals(new LengthReward({ target: 4 }).score(samplesOf(" so, so.")), [1]);
});

Deno.test("LengthReward refuses lengths that cannot be", () => {
  for (const options of [{ target: 0 }, { target: NaN }, { target: 5, tolerance: -1 }]) {
    assertThrows(() => new LengthReward(options), RangeError, "Cannot make a length reward");
  }
});
