import { assertEquals, assertNotEquals } from "@std/assert";
import { holdOut, withoutTextsOf } from "../../train/held_out.ts";
import type { RewardData } from "../../train/reward_data.ts";
import { Rng } from "../../train/rng.ts";

function dataOf(...records: string[][]): RewardData {
  return {
    file: "data.jsonl",
    kind: "labels",
    records: records.map((texts, i) => ({ texts, label: 0, source: "", line: i + 1 })),
  };
}

const linesOf = ({ records }: RewardData) => records.map(({ line }) => line);

Deno.test("holdOut() splits off a tenth, the same for the same seed, at least one record", () => {
  const data = dataOf(...Array.from({ length: 40 }, (_, i) => [`text ${i}`]));
  const { train, validation } = holdOut(data, new Rng(1));
  assertEquals([train.records.length, validation.records.length], [36, 4]);
  assertEquals([...linesOf(train), ...linesOf(validation)].sort((a, b) => a - b), linesOf(data));
  assertEquals(holdOut(data, new Rng(1)), { train, validation });
  assertNotEquals(linesOf(holdOut(data, new Rng(2)).validation), linesOf(validation));
  assertEquals(holdOut(dataOf(["a"], ["b"]), new Rng(1)).validation.records.length, 1);
});

Deno.test("withoutTextsOf() leaves out texts that differ in case, spaces and punctuation only", () => {
  const data = dataOf(["It  is GOOD!"], ["it is bad"], ["..."], ["one", "It's fine"], ["naïve"]);
  const others = dataOf(["it is good"], ["!?"], ["x", "it s fine"], ["NAÏVE"]);
  assertEquals(linesOf(withoutTextsOf(data, others)), [2, 3]);
  assertEquals(linesOf(withoutTextsOf(dataOf(["..."]), dataOf(["..."]))), []);
});
