import { assertEquals, assertThrows } from "@std/assert";
import { KL_ESTIMATORS, type KlEstimator } from "../../kernels/kl.ts";
import { ShapeError } from "../../kernels/runtime/errors.ts";
import { estimateKl } from "../../train/kl_estimators.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose } from "../helpers/close.ts";
import { klFull } from "../reference/kl.ts";
import { logSoftmax } from "../reference/token_logprobs.ts";

type Batches = Record<"logprobs" | "refLogprobs", number[][]>;

for (
  const { name, input, expected } of casesOf<never, Batches, Record<KlEstimator, number[][]>>(
    "klEstimators",
  )
) {
  const mask = input.logprobs.map((row) => row.map(() => 1));
  for (const estimator of KL_ESTIMATORS) {
    Deno.test(`estimateKl() agrees with TRL: ${estimator}, case ${name}`, () => {
      const kl = estimateKl({ ...input, mask }, estimator);
      assertClose(kl.flat(), expected[estimator].flat(), { atol: 1e-15 }); // f64 on both sides
    });
  }
}

Deno.test("estimateKl() with k1 and k3 has the exact KL as its expectation", () => {
  const logits = [0.3, -1.2, 2, 0.1];
  const refLogits = [0.5, -0.7, 1, -0.4];
  const [logprobs, refLogprobs] = [[logSoftmax(logits)], [logSoftmax(refLogits)]];
  const mask = [[1, 1, 1, 1]]; // one "response" that holds every token once
  for (const estimator of ["k1", "k3"] as const) {
    const [perToken] = estimateKl({ logprobs, refLogprobs, mask }, estimator);
    const expectation = perToken.reduce((sum, kl, v) => sum + Math.exp(logprobs[0][v]) * kl, 0);
    assertClose([expectation], [klFull(logits, refLogits)], { atol: 1e-15 });
  }
});

Deno.test("estimateKl() does not look outside the mask", () => {
  const batch = {
    logprobs: [[-1, NaN, -1]],
    refLogprobs: [[-2, -1, Infinity]],
    mask: [[1, 0, 0]],
  };
  assertEquals(estimateKl(batch, "k1"), [[1, 0, 0]]);
});

Deno.test("estimateKl() refuses batches of different shapes", () => {
  const batch = { logprobs: [[-1, -1]], refLogprobs: [[-1]], mask: [[1, 1]] };
  assertThrows(() => estimateKl(batch, "k1"), ShapeError, "refLogprobs");
});
