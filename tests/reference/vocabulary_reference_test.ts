/** The f64 references over the vocabulary and of AdamW agree with published numbers. */
import { assertEquals } from "@std/assert";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { adamwStep } from "./adamw.ts";
import { klEstimate, type KlEstimator, klFull, klFullGradient } from "./kl.ts";
import { tokenLogprob, tokenLogprobGradient } from "./token_logprobs.ts";

type Rows = number[][];
const F64 = { atol: 1e-12, rtol: 1e-10 }; // the same formula in another order of summation
const DIFFERENCES = { atol: 1e-8, rtol: 1e-6 }; // central differences with h = 1e-5

for (
  const { name, options, input, expected } of casesOf<
    { temperature: number },
    { logits: Rows; targets: number[] },
    {
      logprobs: number[];
      entropy: number[];
      dlogits_of_sum_logprobs: Rows;
      dlogits_of_sum_entropy: Rows;
    }
  >("tokenLogprobs")
) {
  Deno.test(`tokenLogprob() agrees with case ${name} at T = ${options.temperature}`, () => {
    const { temperature } = options;
    input.logits.forEach((logits, n) => {
      const target = input.targets[n];
      const { logprob, entropy } = tokenLogprob(logits, target, temperature);
      assertClose([logprob, entropy], [expected.logprobs[n], expected.entropy[n]], F64);
      assertClose(
        tokenLogprobGradient(logits, target, { temperature, dlogprob: 1 }),
        expected.dlogits_of_sum_logprobs[n],
        F64,
        "dlogits of logprobs",
      );
      assertClose(
        tokenLogprobGradient(logits, target, { temperature, dentropy: 1 }),
        expected.dlogits_of_sum_entropy[n],
        F64,
        "dlogits of entropy",
      );
    });
  });
}

for (
  const { name, options, input, expected } of casesOf<
    { temperature: number },
    { logits: Rows; refLogits: Rows },
    { kl: number[]; dlogits_of_sum_kl?: Rows }
  >("klFull")
) {
  Deno.test(`klFull() agrees with case ${name} at T = ${options.temperature}`, () => {
    input.logits.forEach((logits, n) => {
      const row = [logits, input.refLogits[n], options.temperature] as const;
      assertClose([klFull(...row)], [expected.kl[n]], { atol: 5e-9 }, "kl"); // one case has 8 decimals
      const dlogits = expected.dlogits_of_sum_kl?.[n];
      if (dlogits) assertClose(klFullGradient(...row), dlogits, F64, "dlogits");
    });
  });
}

for (
  const { name, input, expected } of casesOf<
    unknown,
    { logprobs: Rows; refLogprobs: Rows },
    Record<KlEstimator, Rows>
  >("klEstimators")
) {
  for (const estimator of ["k1", "k2", "k3", "abs"] as const) {
    Deno.test(`klEstimate() agrees with case ${name} for ${estimator}`, () => {
      const logprobs = input.logprobs.flat();
      const refLogprobs = input.refLogprobs.flat();
      const { kl, dlogprobs } = klEstimate(estimator, logprobs, refLogprobs);
      assertClose(kl, expected[estimator].flat(), F64, "kl");
      const sum = (x: Float64Array) =>
        klEstimate(estimator, x, refLogprobs).kl.reduce((a, b) => a + b, 0);
      assertClose(dlogprobs, numericGradient(sum, logprobs), DIFFERENCES, "dlogprobs");
    });
  }
}

Deno.test("tokenLogprobGradient() and klFullGradient() match central differences", () => {
  const [V, target, temperature] = [7, 4, 0.7];
  const [logits, refLogits] = [randn(V, 1), randn(V, 2)];
  const [dlogprob, dentropy] = [0.3, -1.2];
  const weighted = (x: Float64Array) => {
    const { logprob, entropy } = tokenLogprob(x, target, temperature);
    return dlogprob * logprob + dentropy * entropy;
  };
  assertClose(
    tokenLogprobGradient(logits, target, { temperature, dlogprob, dentropy }),
    numericGradient(weighted, logits),
    DIFFERENCES,
  );
  assertClose(
    klFullGradient(logits, refLogits, temperature),
    numericGradient((x) => klFull(x, refLogits, temperature), logits),
    DIFFERENCES,
  );
});

Deno.test("tokenLogprob() agrees with the worked example of the RLOO article", () => {
  const { logprob, entropy } = tokenLogprob([1, 2, 1, 1], 1);
  const gradient = tokenLogprobGradient([1, 2, 1, 1], 1, { dlogprob: 1 });
  assertClose([logprob, entropy], [-.74366838, 1.26830149], { atol: 5e-9 }); // 8 digits
  assertClose(gradient, [-.1749, .5246, -.1749, -.1749], { atol: 5e-5 }); // 4 digits
});

for (
  const { name, options, input, expected } of casesOf<
    Parameters<typeof adamwStep>[2],
    { params: number[]; grads: Rows },
    { gradNorm: number[]; params: Rows }
  >("adamw")
) {
  Deno.test(`adamwStep() agrees with case ${name}`, () => {
    const N = input.params.length;
    const state = {
      params: Float64Array.from(input.params),
      m: new Float64Array(N),
      v: new Float64Array(N),
      step: 0,
    };
    input.grads.forEach((grads, step) => {
      const gradNorm = adamwStep(state, grads, options);
      assertClose([gradNorm], [expected.gradNorm[step]], F64, "gradNorm");
      assertClose(state.params, expected.params[step], F64, `params after step ${step}`);
    });
  });
}

Deno.test("adamwStep() puts epsilon beside the root of the corrected second moment", () => {
  const state = {
    params: new Float64Array(1),
    m: new Float64Array(1),
    v: new Float64Array(1),
    step: 0,
  };
  const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-5, weightDecay: 0 };
  const path = [1e-3, -2e-4, 5e-4].map((g) => {
    adamwStep(state, [g], options);
    return state.params[0];
  });
  // As PyTorch; TensorFlow's placing of epsilon would give -0.00075974693 after the first step.
  assertClose(path, [-.00099009901, -.00149413377, -.00212064146], { atol: 5e-12 }); // 11 digits
});

Deno.test("adamwStep() leaves everything untouched when a gradient is not finite", () => {
  const state = {
    params: Float64Array.of(1, 2),
    m: Float64Array.of(0.1, 0.2),
    v: Float64Array.of(0.3, 0.4),
    step: 7,
  };
  const before = structuredClone(state);
  const options = { learningRate: 1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 };
  assertEquals(adamwStep(state, [1, NaN], options), NaN);
  assertEquals(state, before);
});
