import { assert, assertEquals, assertThrows } from "@std/assert";
import { KL_ESTIMATORS, klEstimate, type KlEstimator, klForward } from "../../kernels/kl.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/kl.ts";
import { logSumExp } from "../reference/token_logprobs.ts";

/** The exact KL of each row, with log-sum-exps that are rounded to f32 as the kernel gets them. */
async function exactKl(
  gpu: Gpu,
  logits: ArrayLike<number>[],
  refLogits: ArrayLike<number>[],
  temperature: number,
): Promise<Float32Array> {
  const lseOf = (rows: ArrayLike<number>[]) =>
    gpu.tensor(rows.map((row) => logSumExp(Array.from(row, (z) => z / temperature))));
  const upload = (rows: ArrayLike<number>[]) =>
    gpu.tensor(rows.flatMap((row) => Array.from(row)), [rows.length, rows[0].length]);
  const kl = gpu.empty([logits.length]);
  const tensors = {
    logits: upload(logits),
    refLogits: upload(refLogits),
    lse: lseOf(logits),
    refLse: lseOf(refLogits),
    kl,
  };
  const pass = gpu.record();
  klForward(pass, tensors, { temperature });
  pass.submit();
  const result = await gpu.read(kl);
  gpu.free(...Object.values(tensors));
  return result;
}

for (
  const { name, options, input, expected } of casesOf<
    { temperature: number },
    { logits: number[][]; refLogits: number[][] },
    { kl: number[] }
  >("klFull")
) {
  Deno.test(`klForward() agrees with case ${name} at T = ${options.temperature}`, () =>
    withGpu(async (gpu) => {
      const actual = await exactKl(gpu, input.logits, input.refLogits, options.temperature);
      assertClose(actual, expected.kl, { atol: 1e-7, rtol: 2e-6 }); // some tens of roundings
    }));
}

Deno.test("klForward() keeps its digits between policies that hardly differ", () =>
  withGpu(async (gpu) => {
    const V = 1009;
    const [logits, noise] = [randn(V, 1), randn(V, 2)];
    for (const size of [1e-1, 1e-2, 1e-3]) {
      const refLogits = logits.map((z, v) => z + size * noise[v]);
      const expected = reference.klFull(logits, refLogits);
      const actual = await exactKl(gpu, [logits], [refLogits], 1);
      // A logit's rounding of 1e-7 is 1e-4 of the smallest differences.
      assertClose(actual, [expected], { atol: 0, rtol: 1e-3 });
    }
  }));

Deno.test("klForward() is 0 for equal logits and finite for opposite ones", () =>
  withGpu(async (gpu) => {
    const logits = randn(50257, 1).map((z) => 4 * z);
    assertEquals(await exactKl(gpu, [logits], [logits], 0.7), Float32Array.of(0));

    const [left, right] = [[100, 0, -100], [-100, 0, 100]];
    assertClose(await exactKl(gpu, [left], [right], 1), [200], { atol: 1e-4 }); // spacing of f32 at 200
  }));

for (
  const { name, input, expected } of casesOf<
    unknown,
    { logprobs: number[][]; refLogprobs: number[][] },
    Record<KlEstimator, number[][]>
  >("klEstimators")
) {
  for (const estimator of KL_ESTIMATORS) {
    Deno.test(`klEstimate() agrees with case ${name} for ${estimator}`, () =>
      withGpu(async (gpu) => {
        const logprobs = gpu.tensor(input.logprobs.flat());
        const refLogprobs = gpu.tensor(input.refLogprobs.flat());
        const kl = gpu.empty([logprobs.size]);
        const pass = gpu.record();
        klEstimate(pass, { logprobs, refLogprobs, kl }, { estimator });
        pass.submit();
        assertClose(await gpu.read(kl), expected[estimator].flat(), { atol: 1e-7 }); // f32 inputs
        gpu.free(logprobs, refLogprobs, kl);
      }));
  }
}

Deno.test("klEstimate() by k3 is never negative, precise near 0 and finite far away", () =>
  withGpu(async (gpu) => {
    const d = [-100, -20, -1, -0.11, -0.09, -1e-3, -1e-6, 0, 1e-6, 1e-3, 0.09, 0.11, 1, 20, 100];
    const logprobs = gpu.tensor(d);
    const refLogprobs = gpu.empty([d.length]);
    const kl = gpu.empty([d.length]);
    const pass = gpu.record();
    klEstimate(pass, { logprobs, refLogprobs, kl }, { estimator: "k3" });
    pass.submit();

    const actual = await gpu.read(kl);
    const expected = d.map((di) =>
      Math.abs(di) < 0.01 ? di ** 2 / 2 - di ** 3 / 6 + di ** 4 / 24 : Math.exp(-di) - 1 + di
    );
    expected[0] = Math.exp(20) - 101; // the exponent is bounded
    assertClose(actual, expected, { atol: 0, rtol: 3e-5 }); // at |d| = 0.11 four digits cancel
    assert(actual.every((value) => value >= 0));
    gpu.free(logprobs, refLogprobs, kl);
  }));

Deno.test("klEstimate() covers more than 65,535 workgroups' worth of tokens", () =>
  withGpu(async (gpu) => {
    const N = 64 * 65_536 + 1;
    const [logprobs, refLogprobs, kl] = [0, 1, 2].map(() => gpu.empty([N]));
    gpu.write(logprobs, new Float32Array(N).fill(-1));
    const pass = gpu.record();
    klEstimate(pass, { logprobs, refLogprobs, kl }, { estimator: "abs" });
    pass.submit();
    assert((await gpu.read(kl)).every((value) => value === 1));
    gpu.free(logprobs, refLogprobs, kl);
  }));

Deno.test("klForward() and klEstimate() refuse tensors of other sizes", () =>
  withGpu((gpu) => {
    const [logits, two, three] = [gpu.empty([2, 3]), gpu.empty([2]), gpu.empty([3])];
    const good = { logits, refLogits: logits, lse: two, refLse: two, kl: gpu.empty([2]) };
    for (const wrong of [{ refLogits: two }, { lse: three }, { refLse: three }, { kl: three }]) {
      const tensors = { ...good, ...wrong };
      assertThrows(() => klForward(gpu.record(), tensors, { temperature: 1 }), ShapeError);
    }
    const tokens = { logprobs: two, refLogprobs: two, kl: three };
    assertThrows(() => klEstimate(gpu.record(), tokens, { estimator: "k1" }), ShapeError);
    gpu.free(logits, two, three, good.kl);
  }));
