import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { GpuError } from "../../kernels/runtime/mod.ts";
import { HeuristicReward } from "../../reward/heuristic.ts";
import {
  checkScores,
  type Reward,
  RewardError,
  type Sample,
  type Scores,
  scoreSamples,
} from "../../reward/reward.ts";

const SAMPLES: Sample[] = ["good", "bad"].map((response) => ({
  prompt: "It was ",
  response,
  text: `It was ${response}`,
  ended: true,
}));

Deno.test("checkScores() passes one finite number per sample", () => {
  checkScores("mine", SAMPLES, [0.5, -2]);
  checkScores("mine", [], []);
});

Deno.test("checkScores() names the reward and the sample of a score that is not finite", () => {
  for (const bad of [NaN, Infinity, -Infinity, undefined, "1"]) {
    const shown = bad === "1" ? '"1"' : bad; // else the message says that 1 is no number
    assertThrows(
      () => checkScores("mine", SAMPLES, [1, bad]),
      RewardError,
      `Cannot use the reward mine: the score of sample 1 is ${shown} for the response "bad"`,
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
  assertEquals(await scoreSamples(new HeuristicReward(), SAMPLES), { scores: [2, -2] });
  assertEquals(await scoreSamples(later, SAMPLES), { scores: [0, 1] });
});

Deno.test("scoreSamples() passes on what a reward says beside its scores", async () => {
  const detailed: Scores = { scores: [1, 2], parts: { length: [3, 4] }, source: 1 };
  const reward: Reward = { name: "detailed", score: () => detailed };
  assertEquals(await scoreSamples(reward, SAMPLES), detailed);
});

Deno.test("scoreSamples() checks what comes back", async () => {
  const broken: Reward = { name: "broken", score: () => [NaN, 1] };
  await assertRejects(() => scoreSamples(broken, SAMPLES), RewardError, "broken");
  const nothing = { name: "nothing", score: () => undefined } as unknown as Reward;
  await assertRejects(() => scoreSamples(nothing, SAMPLES), RewardError, "it gave undefined");
  const parts: Reward = {
    name: "p",
    score: () => ({ scores: [1, 2], parts: { length: [NaN, 1] } }),
  };
  await assertRejects(() => scoreSamples(parts, SAMPLES), RewardError, "p, part length: the score");
});

Deno.test("scoreSamples() names the reward that throws, and keeps the cause", async () => {
  const cause = new RangeError("the classifier is out");
  const score = () => {
    throw cause;
  };
  for (
    const reward of [{ name: "mine", score }, {
      name: "mine",
      score: () => Promise.reject(cause),
    }]
  ) {
    const error = await assertRejects(() => scoreSamples(reward, SAMPLES), RewardError);
    assertEquals(
      error.message,
      "Cannot use the reward mine: it failed on 2 samples: the classifier is out",
    );
    assertEquals(error.cause, cause);
    await assertRejects(
      () => scoreSamples(reward, SAMPLES.slice(1)),
      RewardError,
      'failed on the response "bad": the classifier is out',
    );
  }
});

Deno.test("scoreSamples() passes on errors of the Gpu and of rewards as they are", async () => {
  for (const cause of [new GpuError("the device is lost"), new RewardError("mine")]) {
    const reward: Reward = { name: "mine", score: () => Promise.reject(cause) };
    assertEquals(await assertRejects(() => scoreSamples(reward, SAMPLES)), cause);
  }
});

Deno.test("scoreSamples() does not wait past its time-out", async () => {
  const never: Reward = { name: "never", score: () => new Promise(() => {}) };
  await assertRejects(
    () => scoreSamples(never, SAMPLES, { timeoutMs: 20 }),
    RewardError,
    "Cannot use the reward never: it has not scored 2 samples within 20 ms",
  );
  const quick: Reward = { name: "quick", score: () => Promise.resolve([1, 2]) };
  const { scores } = await scoreSamples(quick, SAMPLES, { timeoutMs: 60_000 }); // leaves no timer
  assertEquals(scores, [1, 2]);
});
