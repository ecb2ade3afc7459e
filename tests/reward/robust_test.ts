import { assertEquals, assertRejects } from "@std/assert";
import { DeviceLostError } from "../../kernels/runtime/mod.ts";
import { HeuristicReward } from "../../reward/heuristic.ts";
import { type Reward, RewardError, scoreSamples } from "../../reward/reward.ts";
import { type RewardCandidate, RobustReward } from "../../reward/robust.ts";
import { RewardLabelError } from "../../reward/sentiment.ts";
import { samplesOf } from "../helpers/samples.ts";

const SAMPLES = samplesOf(" good", " bad");
const heuristic: RewardCandidate = { name: "heuristic", load: () => new HeuristicReward() };

/** A reward that gives 7 until it is broken, and notes what happens to it. */
function flaky(name: string) {
  const events: string[] = [];
  const reward = {
    name,
    broken: false,
    score(samples: readonly unknown[]) {
      if (reward.broken) throw new Error("the plug was pulled");
      return samples.map(() => 7);
    },
    [Symbol.dispose]: () => void events.push("disposed"),
  };
  const load = () => {
    events.push("loaded");
    return Promise.resolve<Reward>(reward);
  };
  return { name, load, reward, events };
}

Deno.test("RobustReward scores by the first, and loads no other", async () => {
  const [first, second] = [flaky("first"), flaky("second")];
  const said: string[] = [];
  using reward = new RobustReward([first, second], { say: (line) => said.push(line) });
  assertEquals(first.events, []);
  await reward.load();
  const expected = { scores: [7, 7], parts: { first: [7, 7] }, source: 0 };
  assertEquals(await scoreSamples(reward, SAMPLES), expected);
  assertEquals(await scoreSamples(reward, SAMPLES), expected);
  assertEquals([first.events, second.events, said], [["loaded"], [], []]);
});

Deno.test("RobustReward goes on to the next where one cannot be loaded, and says so once", async () => {
  const said: string[] = [];
  const missing = {
    name: "sentiment",
    load: () => Promise.reject(new Error("there is no folder /models/none")),
  };
  using reward = new RobustReward([missing, heuristic], { say: (line) => said.push(line) });
  for (let batch = 0; batch < 2; batch++) {
    const { scores, source } = await scoreSamples(reward, SAMPLES);
    assertEquals([scores, source], [[2, -2], 1]);
  }
  assertEquals(said, [
    "The reward sentiment cannot be used (there is no folder /models/none); heuristic scores instead",
  ]);
});

Deno.test("RobustReward lets the next score the very samples on which one failed, and gives that one up", async () => {
  const said: string[] = [];
  const first = flaky("first");
  using reward = new RobustReward([first, heuristic], { say: (line) => said.push(line) });
  assertEquals((await scoreSamples(reward, SAMPLES)).source, 0);
  first.reward.broken = true;
  const expected = { scores: [2, -2], parts: { heuristic: [2, -2] }, source: 1 };
  assertEquals(await scoreSamples(reward, SAMPLES), expected);
  first.reward.broken = false;
  assertEquals(await scoreSamples(reward, SAMPLES), expected);
  assertEquals(first.events, ["loaded", "disposed"]);
  assertEquals(said.length, 1);
});

Deno.test("RobustReward takes scores that cannot be trained on for a failure", async () => {
  const wrong = { name: "wrong", load: (): Reward => ({ name: "wrong", score: () => [NaN, 1] }) };
  using reward = new RobustReward([wrong, heuristic]);
  assertEquals((await scoreSamples(reward, SAMPLES)).source, 1);
});

Deno.test("RobustReward fails with the last, which stays", async () => {
  const last = flaky("last");
  last.reward.broken = true;
  const first = {
    name: "first",
    load(): Reward {
      throw new Error("gone");
    },
  };
  using reward = new RobustReward([first, last]);
  await assertRejects(
    () => scoreSamples(reward, SAMPLES),
    RewardError,
    "Cannot use the reward last: it failed on 2 samples: the plug was pulled",
  );
  last.reward.broken = false;
  assertEquals((await scoreSamples(reward, SAMPLES)).scores, [7, 7]);
  using none = new RobustReward([first]);
  await assertRejects(() => none.load(), RewardError, "Cannot load the reward first: gone");
});

Deno.test("RobustReward does not score by something else where labels are unclear, or the GPU is lost", async () => {
  for (const cause of [new RewardLabelError("which one?"), new DeviceLostError("unplugged")]) {
    using unclear = new RobustReward([{ name: "a", load: () => Promise.reject(cause) }, heuristic]);
    assertEquals(await assertRejects(() => unclear.load()), cause);
    const broken: Reward = { name: "a", score: () => Promise.reject(cause) };
    using failing = new RobustReward([{ name: "a", load: () => broken }, heuristic]);
    assertEquals(await assertRejects(() => failing.score(SAMPLES)), cause);
  }
});
