import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { HeuristicReward } from "../../reward/heuristic.ts";
import {
  checkScores,
  type Reward,
  RewardError,
  type Sample,
  scoreSamples,
} from "../../reward/reward.ts";

const SAMPLES: Sample[] = ["good", "bad"].map((response) => ({
  prompt: "It was ",
  response,
  text: `It was ${response}`,
}));

Deno.test("checkScores() passes one finite number per sample", () => {
  checkScores("mine", SAMPLES, [0.5, -2]);
  checkScores("mine", [], []);
});

Deno.test("checkScores() names the reward and the sample of a score that is not finite", () => {
  for (const bad of [NaN, Infinity, -Infinity, undefined, "1"]) {
    assertThrows(
      () => checkScores("mine", SAMPLES, [1, bad]),
      RewardError,
      `Cannot use the reward mine: the score of sample 1 is ${bad} for the response "bad"`,
    );
  }
});

Deno.test("checkScores() refuses another count", () => {
  assertThrows(
    () => checkScores("mine", SAMPLES, [1]),
    RewardError,
    "Cannot use the reward mine: it gave 1 scores for 2 samples",
  );
});

Deno.test("checkScores() refuses what is not an array", () => {
  for (const scores of [undefined, 3, { 0: 1, 1: 2, length: 2 }]) {
    assertThrows(() => checkScores("mine", SAMPLES, scores), RewardError, typeof scores);
  }
});

Deno.test("scoreSamples() takes rewards that answer now or later", async () => {
  const later: Reward = { name: "later", score: (s) => Promise.resolve(s.map((_, i) => i)) };
  assertEquals(await scoreSamples(new HeuristicReward(), SAMPLES), [2, -2]);
  assertEquals(await scoreSamples(later, SAMPLES), [0, 1]);
});

Deno.test("scoreSamples() checks what comes back", async () => {
  const broken: Reward = { name: "broken", score: () => [NaN, 1] };
  await assertRejects(() => scoreSamples(broken, SAMPLES), RewardError, "broken");
});
