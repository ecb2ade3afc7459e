import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../kernels/runtime/errors.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { advantagesOf } from "../reference/gae.ts";
import { gae } from "../../train/gae.ts";
import { whiten } from "../../train/whiten.ts";

const F64 = { atol: 1e-12, rtol: 1e-10 }; // the same sums in another order

interface Inputs {
  rewards: number[][];
  values: number[][];
  mask: number[][];
}

for (
  const { name, options, input, expected } of casesOf<
    { gamma: number; lambda: number },
    Inputs,
    { advantages: number[][]; returns: number[][] }
  >("gae")
) {
  Deno.test(`gae() agrees with case ${name} at ${Deno.inspect(options)}`, () => {
    const { advantages, returns } = gae(input, options);
    assertClose(advantages.flat(), expected.advantages.flat(), F64, "advantages");
    assertClose(returns.flat(), expected.returns.flat(), F64, "returns");
  });
}

/** verl's multi-turn case: two stretches of response with a gap between them. */
const MULTI_TURN = {
  rewards: [0, 0, .1, .1, .1, 0, 0, .1, 1, 0, 0],
  values: [0, 0, 4, 5, 6, 0, 0, 7, 9, 0, 0],
  mask: [0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0],
};

Deno.test("gae() steps over a gap and carries value and advantage across", () => {
  const { rewards, values, mask } = MULTI_TURN;
  const { advantages, returns } = gae(
    { rewards: [rewards], values: [values], mask: [mask] },
    { gamma: 1, lambda: 0.95 },
  );
  const inside = (row: number[]) => row.filter((_, t) => mask[t] === 1);
  assertClose(inside(advantages[0]), [-1.5778125, -2.81875, -4.125, -5.5, -8], F64);
  assertClose(inside(returns[0]), [2.4221875, 2.18125, 1.875, 1.5, 1], F64);
  assertClose(
    inside(whiten(advantages, [mask])[0]),
    [1.13720068, .63792774, .11237727, -.44083374, -1.44667196],
    { atol: 5e-9 }, // 8 decimals
  );
});

for (
  const { name, values, mask, rewardAt, advantages, returns } of [
    {
      name: "the padding",
      values: [.5, -.3, .9, 4, -7],
      mask: [1, 1, 1, 0, 0],
      rewardAt: 2,
      advantages: [.43025, 1.295, .1, 0, 0],
      returns: [.93025, .995, 1, 0, 0],
    },
    {
      name: "an interior gap",
      values: [.5, -.3, 9, -9, .7, .2],
      mask: [1, 1, 0, 0, 1, 1],
      rewardAt: 5,
      advantages: [.38465, 1.247, 0, 0, .26, .8],
      returns: [.88465, .947, 0, 0, .96, 1],
    },
  ]
) {
  Deno.test(`gae() ignores values in ${name}`, () => {
    const rewards = values.map((_, t) => (t === rewardAt ? 1 : 0));
    const actual = gae(
      { rewards: [rewards], values: [values], mask: [mask] },
      { gamma: 1, lambda: 0.95 },
    );
    assertClose(actual.advantages[0], advantages, F64, "advantages");
    assertClose(actual.returns[0], returns, F64, "returns");
  });
}

for (const [T, V, reward, A] of [[6, 1, 10, 9], [7, 2, 20, 18], [13, 3, 30, 27]]) {
  Deno.test(`gae() with gamma = lambda = 1 gives ${A} on all ${T} tokens`, () => {
    const rewards = Array.from({ length: T }, (_, t) => (t === T - 1 ? reward : 0));
    const actual = gae(
      { rewards: [rewards], values: [Array(T).fill(V)], mask: [Array(T).fill(1)] },
      { gamma: 1, lambda: 1 },
    );
    assertEquals(actual.advantages[0], Array(T).fill(A));
    assertEquals(actual.returns[0], Array(T).fill(reward));
  });
}

/** A (B, R) batch with random numbers everywhere and irregular masks. */
function randomBatch(seed: number): Inputs {
  const [B, R] = [5, 9];
  const rows = (s: number) =>
    Array.from({ length: B }, (_, b) => Array.from(randn(R, 100 * s + b)));
  const mask = rows(seed + 2).map((row) => row.map((x) => (x > -0.5 ? 1 : 0)));
  return { rewards: rows(seed), values: rows(seed + 1), mask };
}

Deno.test("gae() equals the double sum of the definition under any mask", () => {
  for (const [gamma, lambda] of [[1, 0.95], [0.9, 0.8], [1, 1], [0.97, 0]]) {
    const batch = randomBatch(1);
    const expected = batch.mask.flatMap((mask, b) =>
      advantagesOf(
        { rewards: batch.rewards[b], values: batch.values[b], mask },
        { gamma, lambda },
      )
    );
    assertClose(gae(batch, { gamma, lambda }).advantages.flat(), expected, F64);
  }
});

Deno.test("gae() with gamma = lambda = 1 returns the reward to go, whatever the values", () => {
  const batch = randomBatch(4);
  const { returns } = gae(batch, { gamma: 1, lambda: 1 });
  const rewardsToGo = batch.mask.flatMap((mask, b) =>
    mask.map((m, t) =>
      batch.rewards[b].reduce(
        (total, r, later) => (later >= t && mask[later] === 1 ? total + r : total),
        0,
      ) * m
    )
  );
  assertClose(returns.flat(), rewardsToGo, F64);
});

Deno.test("gae() never looks outside the mask", () => {
  const batch = randomBatch(7);
  const poisoned = (rows: number[][]) =>
    rows.map((row, b) => row.map((x, t) => (batch.mask[b][t] === 1 ? x : NaN)));
  const options = { gamma: 0.99, lambda: 0.95 };
  assertEquals(
    gae({ ...batch, rewards: poisoned(batch.rewards), values: poisoned(batch.values) }, options),
    gae(batch, options),
  );
});

Deno.test("gae() takes rows of a typed array", () => {
  const rewards = [Float32Array.of(0, 1)];
  const { returns } = gae(
    { rewards, values: [Float32Array.of(0, 0)], mask: [Uint32Array.of(1, 1)] },
    { gamma: 1, lambda: 1 },
  );
  assertEquals(returns, [[1, 1]]);
});

Deno.test("gae() refuses another shape than the mask's", () => {
  assertThrows(
    () => gae({ rewards: [[1, 2]], values: [[1]], mask: [[1, 1]] }, { gamma: 1, lambda: 1 }),
    ShapeError,
    "Cannot compute advantages: values must have the shape of mask (1, 2), current shape is (1, 1)",
  );
});
