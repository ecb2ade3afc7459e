import { assert, assertEquals, assertThrows } from "@std/assert";
import { adjustScores, ScoreNormaliser } from "../../train/score_normaliser.ts";
import { mean, standardDeviation } from "../../train/stats.ts";
import { assertClose } from "../helpers/close.ts";

const F64 = { atol: 1e-12, rtol: 1e-12 }; // sums of a few numbers near 1
const BATCHES = [[1.5, -0.5, 2], [0.25, 3], [-1]];

Deno.test("ScoreNormaliser.normalise() uses mean and deviation of all scores so far", () => {
  const normaliser = new ScoreNormaliser();
  for (const [i, batch] of BATCHES.entries()) {
    const seen = BATCHES.slice(0, i + 1).flat();
    const expected = batch.map((x) => (x - mean(seen)) / standardDeviation(seen));
    assertClose(normaliser.normalise(batch), expected, F64);
  }
});

Deno.test("ScoreNormaliser.normalise() keeps its digits far from 0", () => {
  const far = BATCHES.flat().map((x) => x + 2 ** 30);
  const near = new ScoreNormaliser().normalise(BATCHES.flat());
  assertClose(new ScoreNormaliser().normalise(far), near, { atol: 1e-6, rtol: 0 }); // 2^30 / 2^53
});

Deno.test("ScoreNormaliser.normalise() gives 0 while all scores are the same", () => {
  const normaliser = new ScoreNormaliser();
  assertEquals(normaliser.normalise([]), []);
  assertEquals(normaliser.normalise([7]), [0]);
  assertEquals(normaliser.normalise([7, 7]), [0, 0]);
  assert(normaliser.normalise([8])[0]! > 0);
});

Deno.test("ScoreNormaliser goes on from its state, through JSON", () => {
  const [first, ...rest] = BATCHES;
  const whole = new ScoreNormaliser();
  whole.normalise(first!);
  const resumed = new ScoreNormaliser();
  resumed.restore(JSON.parse(JSON.stringify(whole.state())));
  for (const batch of rest) assertEquals(resumed.normalise(batch), whole.normalise(batch));
  assertEquals(resumed.state(), whole.state());
});

Deno.test("ScoreNormaliser.restore() refuses what is no state", () => {
  const state = new ScoreNormaliser().state();
  for (const wrong of [{ count: -1 }, { count: 0.5 }, { mean: NaN }, { squares: -1 }]) {
    assertThrows(() => new ScoreNormaliser().restore({ ...state, ...wrong }), RangeError);
  }
});

Deno.test("adjustScores() normalises, then scales, then clips", () => {
  const scores = [1, 3];
  const adjusted = (options: Partial<Parameters<typeof adjustScores>[2]>) => {
    const off = { normaliseScores: false, rewardScale: 1, rewardClip: 0 };
    return adjustScores(scores, new ScoreNormaliser(), { ...off, ...options });
  };
  assertEquals(adjusted({}), scores);
  assertEquals(adjusted({ rewardScale: -0.5 }), [-0.5, -1.5]);
  assertEquals(adjusted({ rewardClip: 2 }), [1, 2]);
  assertEquals(adjusted({ rewardScale: 2, rewardClip: 3 }), [2, 3]);
  const normal = Math.SQRT1_2; // half a distance of 2 over a deviation of sqrt(2)
  assertClose(adjusted({ normaliseScores: true }), [-normal, normal], F64);
  assertClose(adjusted({ normaliseScores: true, rewardScale: 4, rewardClip: 2 }), [-2, 2], F64);
});

Deno.test("adjustScores() leaves the normaliser alone where it is off", () => {
  const normaliser = new ScoreNormaliser();
  adjustScores([1, 2], normaliser, { normaliseScores: false, rewardScale: 1, rewardClip: 0 });
  assertEquals(normaliser.state().count, 0);
});
