/** The f64 references of the loss kernels agree with published numbers and with differences. */
import { assertEquals } from "@std/assert";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { policyLoss } from "./policy_loss.ts";
import { valueLoss } from "./value_loss.ts";

type Rows = number[][];
const F64 = { atol: 1e-12, rtol: 1e-10 }; // the same formula in another order of summation
const DIFFERENCES = { atol: 1e-8, rtol: 1e-6 }; // central differences with h = 1e-5

for (
  const { name, options, input, expected } of casesOf<
    { clipRange: number },
    { logprobs: Rows; oldLogprobs: Rows; advantages: Rows; mask: Rows },
    {
      loss: number;
      clipFraction: number;
      approxKl: number;
      policyKl: number;
      ratio: number;
      dlogprobs: Rows;
    }
  >("policyLoss")
) {
  Deno.test(`policyLoss() agrees with case ${name}`, () => {
    const actual = policyLoss({
      logprobs: input.logprobs.flat(),
      oldLogprobs: input.oldLogprobs.flat(),
      advantages: input.advantages.flat(),
      mask: input.mask.flat(),
    }, options);
    assertClose(
      [actual.loss, actual.clipFraction, actual.approxKl, actual.policyKl, actual.ratioMean],
      [
        expected.loss,
        expected.clipFraction,
        expected.approxKl,
        expected.policyKl,
        expected.ratio,
      ],
      F64,
    );
    assertClose(actual.dlogprobs, expected.dlogprobs.flat(), F64, "dlogprobs");
  });
}

for (
  const { name, options, input, expected } of casesOf<
    { clipRange: number },
    { values: Rows; oldValues: Rows; returns: Rows; mask: Rows },
    { loss: number; clipFraction: number; dvalues: Rows }
  >("valueLoss")
) {
  Deno.test(`valueLoss() agrees with case ${name}`, () => {
    const actual = valueLoss({
      values: input.values.flat(),
      oldValues: input.oldValues.flat(),
      returns: input.returns.flat(),
      mask: input.mask.flat(),
    }, options);
    assertClose(
      [actual.loss, actual.clipFraction],
      [expected.loss, expected.clipFraction],
      F64,
    );
    assertClose(actual.dvalues, expected.dvalues.flat(), F64, "dvalues");
  });
}

Deno.test("policyLoss() takes the pessimistic side of the clip", () => {
  const loss = (logprob: number, old: number, A: number) =>
    policyLoss(
      { logprobs: [logprob], oldLogprobs: [old], advantages: [A], mask: [1] },
      { clipRange: 0.2 },
    ).loss;
  const actual = [loss(1, 0, 1), loss(-1, 0, 1), loss(0.1, 0, 1), loss(1, 0, -1), loss(-1, 0, -1)];
  assertClose(actual, [-1.2, -Math.exp(-1), -Math.exp(0.1), Math.E, 0.8], F64);
});

Deno.test("policyLoss() averages over the tokens, not over the rows", () => {
  // OpenRLHF, test_loss_aggregation.
  const logprobs = [-.2, -.4, -.1, -.7, -.3, -.2, -.6, -.1, -.5];
  const ratios = [.03, -.04, .01, .02, .05, -.03, .04, 0, -.02];
  const actual = policyLoss({
    logprobs,
    oldLogprobs: logprobs.map((logprob, n) => logprob - ratios[n]),
    advantages: [1, -.5, 0, .3, -1.2, .5, 1.5, 0, -.7],
    mask: [1, 1, 0, 1, 1, 1, 1, 0, 1],
  }, { clipRange: 0.2 });
  assertClose([actual.loss, actual.policyKl], [-0.13641354, -0.00714286], { atol: 5e-9 }); // 8 digits
});

Deno.test("policyLoss() is 0 for an empty mask, whatever the values", () => {
  const values = [NaN, Infinity];
  const actual = policyLoss(
    { logprobs: values, oldLogprobs: values, advantages: values, mask: [0, 0] },
    { clipRange: 0.2, entropyCoef: 1, klCoef: 1 },
  );
  assertEquals(actual.loss, 0);
  assertEquals(actual.dlogprobs, [0, 0]);
  assertEquals(actual.dkl, [0, 0]);
});

Deno.test("policyLoss() gives no loss where the advantage is 0, even if the ratio overflows", () => {
  const actual = policyLoss(
    { logprobs: [1000, -Infinity], oldLogprobs: [0, -Infinity], advantages: [0, 0], mask: [1, 1] },
    { clipRange: 0.2 },
  );
  assertEquals(actual.policyLoss, 0);
  assertEquals(actual.dlogprobs, [0, 0]);
});

Deno.test("policyLoss() gradients match central differences", () => {
  const N = 8;
  const [logprobs, oldLogprobs, advantages, entropy, kl] = [1, 2, 3, 4, 5].map((s) => randn(N, s));
  const mask = [1, 1, 1, 0, 1, 1, 0, 1];
  const options = { clipRange: 0.2, entropyCoef: 0.3, klCoef: 0.7 };
  const inputs = { logprobs, oldLogprobs, advantages, mask, entropy, kl };
  const { dlogprobs, dentropy, dkl } = policyLoss(inputs, options);
  for (
    const [key, gradient] of [
      ["logprobs", dlogprobs],
      ["entropy", dentropy],
      ["kl", dkl],
    ] as const
  ) {
    const expected = numericGradient(
      (x) => policyLoss({ ...inputs, [key]: x }, options).loss,
      inputs[key],
    );
    assertClose(gradient, expected, DIFFERENCES, key);
  }
});

Deno.test("policyLoss() of two halves adds up to the whole under one token weight", () => {
  const N = 6;
  const [logprobs, oldLogprobs, advantages] = [1, 2, 3].map((s) => randn(N, s));
  const mask = [1, 1, 1, 1, 0, 0]; // three tokens in the first half, one in the second
  const inputs = { logprobs, oldLogprobs, advantages, mask };
  const halves = [[0, 3], [3, 6]].map(([from, to]) =>
    policyLoss(
      {
        logprobs: logprobs.slice(from, to),
        oldLogprobs: oldLogprobs.slice(from, to),
        advantages: advantages.slice(from, to),
        mask: mask.slice(from, to),
      },
      { clipRange: 0.2, tokenWeight: 1 / 4 },
    )
  );
  const whole = policyLoss(inputs, { clipRange: 0.2 });
  assertClose([halves[0].loss + halves[1].loss], [whole.loss], F64);
  assertClose(halves.flatMap((half) => half.dlogprobs), whole.dlogprobs, F64);
});

Deno.test("valueLoss() gradient matches central differences", () => {
  const N = 8;
  const [values, oldValues, returns] = [1, 2, 3].map((s) => randn(N, s));
  const inputs = { values, oldValues, returns, mask: [1, 1, 1, 0, 1, 1, 0, 1] };
  const options = { clipRange: 0.2, valueCoef: 0.1 };
  const expected = numericGradient(
    (x) => options.valueCoef * valueLoss({ ...inputs, values: x }, options).loss,
    values,
  );
  assertClose(valueLoss(inputs, options).dvalues, expected, DIFFERENCES);
});
