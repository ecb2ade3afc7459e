import { assert, assertEquals, assertThrows } from "@std/assert";
import { DiversityReward } from "../../reward/diversity.ts";
import { samplesOf } from "../helpers/samples.ts";

const score = (response: string, options = {}) =>
  new DiversityReward(options).score(samplesOf(response))[0]!;

Deno.test("DiversityReward is the share of different n-grams, less the share of stuttered words", () => {
  assertEquals(score(" all of it is new"), 1);
  assertEquals(score(" to be or to be"), 3 / 4); // to be, be or, or to
  assertEquals(score(" good good good good"), 1 / 3 - 3 / 4);
  assertEquals(score(" good good good good", { repetitionPenalty: 0 }), 1 / 3);
  assertEquals(score(" good good good good", { n: 1, repetitionPenalty: 2 }), 1 / 4 - 2 * 3 / 4);
});

Deno.test("DiversityReward sees through case, and takes punctuation marks for words", () => {
  assertEquals(score(" Good good"), 1 - 1 / 2);
  assert(score(" ........") < 0);
});

Deno.test("DiversityReward is 0 where there is no n-gram", () => {
  assertEquals(new DiversityReward().score(samplesOf("", " word", "  ")), [0, 0, 0]);
  assertEquals(score(" two words", { n: 3 }), 0);
});

Deno.test("DiversityReward refuses options that cannot be", () => {
  for (const options of [{ n: 0 }, { n: 1.5 }, { repetitionPenalty: -1 }]) {
    assertThrows(() => new DiversityReward(options), RangeError, "Cannot make a diversity reward");
  }
});
