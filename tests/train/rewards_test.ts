import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../kernels/runtime/errors.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose } from "../helpers/close.ts";
import { maskedRowSums } from "../../train/rows.ts";
import { tokenRewards } from "../../train/rewards.ts";

const F64 = { atol: 1e-12, rtol: 1e-10 }; // the same products

for (
  const { name, options, input, expected } of casesOf<
    { beta: number },
    { scores: number[]; kl: number[][]; mask: number[][] },
    { rewards: number[][] }
  >("tokenRewards")
) {
  Deno.test(`tokenRewards() agrees with case ${name}`, () => {
    assertClose(tokenRewards({ ...input, ...options }).flat(), expected.rewards.flat(), F64);
  });
}

Deno.test("tokenRewards() agrees with torchtune", () => {
  const logprobs = [[.1, .2, .3], [.4, .5, .6], [.6, .7, .8]];
  const refLogprobs = [[.2, .3, .4], [.6, .7, .8], [.9, 1, 1.1]];
  const rewards = tokenRewards({
    scores: [1, 2, 3],
    kl: logprobs.map((row, b) => row.map((logprob, t) => logprob - refLogprobs[b][t])),
    beta: 0.5,
    mask: Array(3).fill([1, 1, 1]),
  });
  const expected = [.05, .05, 1.05, .1, .1, 2.1, .15, .15, 3.15];
  assertClose(rewards.flat(), expected, F64);
});

Deno.test("tokenRewards() puts the score on the stop token, not on the padding after it", () => {
  // Tokens t0, t1, stop, pad, pad.
  const rewards = tokenRewards({
    scores: [7],
    kl: [[0, 0, 0, 0, 0]],
    beta: 1,
    mask: [[1, 1, 1, 0, 0]],
  });
  assertClose(rewards[0], [0, 0, 7, 0, 0], { atol: 0 });
});

Deno.test("tokenRewards() plus the KL's cost sum to the score", () => {
  const batch = {
    scores: [1.5, -.5],
    kl: [[.1, -.3, .4, 0], [-.1, .2, NaN, NaN]],
    mask: [[1, 1, 1, 1], [1, 1, 0, 0]],
  };
  const beta = 0.2;
  const rewards = maskedRowSums(tokenRewards({ ...batch, beta }), batch.mask);
  const kl = maskedRowSums(batch.kl, batch.mask);
  assertClose(rewards.map((r, b) => r + beta * kl[b]), batch.scores, F64);
});

Deno.test("tokenRewards() ignores the KL outside the mask", () => {
  const rewards = tokenRewards({
    scores: [1],
    kl: [[NaN, 0.5, Infinity]],
    beta: 2,
    mask: [[0, 1, 0]],
  });
  assertEquals(rewards, [[0, 0, 0]]);
});

Deno.test("tokenRewards() gives an empty response nothing", () => {
  assertEquals(tokenRewards({ scores: [3], kl: [[1, 1]], beta: 1, mask: [[0, 0]] }), [[0, 0]]);
});

Deno.test("tokenRewards() refuses scores of another count", () => {
  assertThrows(
    () => tokenRewards({ scores: [1, 2], kl: [[1]], beta: 1, mask: [[1]] }),
    ShapeError,
    "Cannot compute token rewards: scores must be (1), current shape is (2)",
  );
});
