import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CompositeReward } from "../../reward/composite.ts";
import { LengthReward } from "../../reward/length.ts";
import { type Reward, RewardError, scoreSamples } from "../../reward/reward.ts";
import { samplesOf } from "../helpers/samples.ts";

const SAMPLES = samplesOf(" a", " a b", " a b c");
const index: Reward = { name: "index", score: (samples) => samples.map((_, i) => i) };
const one: Reward = { name: "one", score: (samples) => Promise.resolve(samples.map(() => 1)) };

Deno.test("CompositeReward adds its parts by their weights, and tells each part's own scores", async () => {
  const reward = new CompositeReward([
    { reward: index, weight: 2 },
    { reward: one, name: "bonus", weight: -0.5 },
    { reward: new LengthReward({ target: 2 }) },
  ]);
  assertEquals(await scoreSamples(reward, SAMPLES), {
    scores: [0, 2 - 0.5 + 1, 4 - 0.5 + 0.5],
    parts: { index: [0, 1, 2], bonus: [1, 1, 1], length: [0.5, 1, 0.5] },
  });
});

Deno.test("CompositeReward tells the parts of a part under its name", async () => {
  const inner = new CompositeReward([{ reward: one }, { reward: index }], "inner");
  const { parts } = await scoreSamples(
    new CompositeReward([{ reward: inner, weight: 3 }]),
    SAMPLES,
  );
  assertEquals(parts, { "inner": [1, 2, 3], "inner/one": [1, 1, 1], "inner/index": [0, 1, 2] });
});

Deno.test("CompositeReward scores its parts at the same time", async () => {
  const first = Promise.withResolvers<void>();
  const reward = new CompositeReward([
    { reward: { name: "waits", score: () => first.promise.then(() => [1, 1, 1]) } },
    {
      reward: {
        name: "opens",
        score() {
          first.resolve();
          return [2, 2, 2];
        },
      },
    },
  ]);
  assertEquals((await reward.score(SAMPLES)).scores, [3, 3, 3]);
});

Deno.test("CompositeReward names the part that fails", async () => {
  const broken: Reward = { name: "broken", score: () => [1, NaN, 1] };
  await assertRejects(
    () => new CompositeReward([{ reward: one }, { reward: broken }]).score(SAMPLES),
    RewardError,
    'Cannot use the reward broken: the score of sample 1 is NaN for the response " a b"',
  );
});

Deno.test("CompositeReward refuses parts that cannot be", () => {
  const cases: [ConstructorParameters<typeof CompositeReward>[0], string][] = [
    [[], "it has no parts"],
    [[{ reward: one, weight: NaN }], "the weight of one is NaN"],
    [[{ reward: one }, { reward: index, name: "one" }], "two parts have the name one"],
  ];
  for (const [parts, says] of cases) {
    assertThrows(() => new CompositeReward(parts), RewardError, says);
  }
});

Deno.test("CompositeReward disposes its parts", () => {
  const disposed: string[] = [];
  const part = (name: string): Reward => ({
    name,
    score: () => [],
    [Symbol.dispose]: () => void disposed.push(name),
  });
  {
    using _ = new CompositeReward([{ reward: part("a") }, { reward: one }, { reward: part("b") }]);
  }
  assertEquals(disposed, ["a", "b"]);
});
