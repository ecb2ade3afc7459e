import { assertEquals } from "@std/assert";
import { PatternReward } from "../../reward/pattern.ts";
import { samplesOf } from "../helpers/samples.ts";

Deno.test("PatternReward is 1 where the response has the pattern", () => {
  const samples = samplesOf(" a film.", " a film", " It was ... A FILM.");
  assertEquals(new PatternReward(/film\.$/).score(samples), [1, 0, 0]);
  assertEquals(new PatternReward(/film\.$/i).score(samples), [1, 0, 1]);
  assertEquals(new PatternReward(/^It/).score(samplesOf(" x")), [0]); // the prompt does not count
});

Deno.test("PatternReward looks at every response from its beginning, whatever the flags", () => {
  const samples = samplesOf("a b", "a b", "b a");
  assertEquals(new PatternReward(/a/g).score(samples), [1, 1, 1]);
  assertEquals(new PatternReward(/a/y).score(samples), [1, 1, 0]);
});
