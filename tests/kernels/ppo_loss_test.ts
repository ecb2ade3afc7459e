import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type KlTerm,
  packTokens,
  PPO_STATS,
  ppoLoss,
  type PpoLossTensors,
} from "../../kernels/ppo_loss.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { klEstimate, type KlEstimator } from "../reference/kl.ts";
import { policyLoss } from "../reference/policy_loss.ts";

interface Batch {
  logprobs: ArrayLike<number>;
  oldLogprobs: ArrayLike<number>;
  advantages: ArrayLike<number>;
  weights: ArrayLike<number>;
  entropy?: ArrayLike<number>;
  kl?: ArrayLike<number>;
  refLogprobs?: ArrayLike<number>;
}

interface Options {
  clipRange?: number;
  entropyCoef?: number;
  klTerm?: KlTerm;
  beta?: number;
}

const MASKED = 7e7; // what the outputs hold before, to see that they are overwritten

/** Runs the kernel once for each of `batches`, all adding to the same statistics. */
async function run(gpu: Gpu, batches: Batch[], options: Options = {}) {
  const { clipRange = 0.2, entropyCoef = 0, klTerm = "none", beta = 0 } = options;
  const stats = gpu.empty([16]);
  const coefficients = gpu.tensor([beta, 0, 0, 0]);
  const outputs = [];
  for (const batch of batches) {
    const N = batch.logprobs.length;
    const known = Array.from({ length: N }, (_, n) => ({
      oldLogprob: batch.oldLogprobs[n],
      refLogprob: batch.refLogprobs?.[n] ?? NaN,
      advantage: batch.advantages[n],
      weight: batch.weights[n],
    }));
    const gradients = gpu.tensor(Array(4 * N).fill(MASKED), [N, 4]);
    const tensors = {
      logprobs: gpu.tensor(batch.logprobs),
      entropy: gpu.tensor(batch.entropy ?? Array(N).fill(0)),
      kl: batch.kl && gpu.tensor(batch.kl),
      tokens: gpu.tensor(packTokens(known), [N, 4]),
      tokenGradients: gradients,
    };
    const pass = gpu.record();
    ppoLoss(pass, { ...tensors, coefficients, stats }, { clipRange, entropyCoef, klTerm });
    pass.submit();
    const numbers = await gpu.read(gradients);
    const [dlogprobs, dentropy, dkl, rest] = [0, 1, 2, 3].map((i) =>
      numbers.filter((_, at) => at % 4 === i)
    );
    assertEquals(rest, new Float32Array(N));
    outputs.push({ dlogprobs, dentropy, dkl });
    gpu.free(...Object.values(tensors).filter((tensor): tensor is Tensor => tensor !== undefined));
  }
  const sums = await gpu.read(stats);
  gpu.free(stats, coefficients);
  const stat = (name: keyof typeof PPO_STATS) => sums[PPO_STATS[name]];
  return { ...outputs[0], outputs, sums, stat };
}

/** The weight of each token: 1 / tokens where the mask is 1. */
function weightsOf(mask: readonly number[]): number[] {
  const tokens = mask.reduce((sum, m) => sum + m, 0);
  return mask.map((m) => m / tokens);
}

for (
  const { name, options, input, expected } of casesOf<
    { clipRange: number },
    Record<"logprobs" | "oldLogprobs" | "advantages" | "mask", number[][]>,
    {
      loss: number;
      clipFraction: number;
      approxKl: number;
      policyKl: number;
      ratio: number;
      dlogprobs: number[][];
    }
  >("policyLoss")
) {
  Deno.test(`ppoLoss() agrees with case ${name}`, () =>
    withGpu(async (gpu) => {
      const { stat, dlogprobs } = await run(gpu, [{
        logprobs: input.logprobs.flat(),
        oldLogprobs: input.oldLogprobs.flat(),
        advantages: input.advantages.flat(),
        weights: weightsOf(input.mask.flat()),
      }], options);
      assertClose(
        [
          stat("policyLoss"),
          stat("clipFraction"),
          stat("approxKl"),
          stat("policyKl"),
          stat("ratio"),
        ],
        [
          expected.loss,
          expected.clipFraction,
          expected.approxKl,
          expected.policyKl,
          expected.ratio,
        ],
        { atol: 1e-6 }, // sums of a few numbers near 1
        "statistics",
      );
      assertClose(dlogprobs, expected.dlogprobs.flat(), { atol: 1e-7, rtol: 2e-6 }, "dlogprobs");
    }));
}

/** A batch of N tokens, about one in five masked and holding NaN everywhere. */
function randomBatch(N: number) {
  const mask = Array.from({ length: N }, (_, n) => n % 5 === 3 ? 0 : 1);
  const numbers = (seed: number, scale: number) =>
    randn(N, seed).map((x, n) => mask[n] === 0 ? NaN : scale * x);
  const batch = {
    logprobs: numbers(1, 1),
    oldLogprobs: numbers(2, 1),
    advantages: numbers(3, 1),
    entropy: numbers(4, 1),
    kl: numbers(5, 1),
    refLogprobs: numbers(6, 1),
    weights: Float32Array.from(weightsOf(mask)),
  };
  return { batch, mask };
}

for (const N of [1, 7, 65, 1009]) {
  Deno.test(`ppoLoss() matches f64 at N = ${N}, with every KL term`, () =>
    withGpu(async (gpu) => {
      for (const klTerm of ["none", "full", "k1", "k2", "k3", "abs"] as const) {
        const { batch, mask } = randomBatch(N);
        const [entropyCoef, beta] = [0.3, 0.7];
        const actual = await run(gpu, [batch], { klTerm, entropyCoef, beta });

        const estimated = klTerm !== "none" && klTerm !== "full";
        const estimate = estimated
          ? klEstimate(klTerm as KlEstimator, batch.logprobs, batch.refLogprobs)
          : undefined;
        const kl = estimate?.kl ?? (klTerm === "full" ? batch.kl : Array(N).fill(0));
        const klCoef = klTerm === "none" ? 0 : beta;
        const expected = policyLoss({ ...batch, mask, kl }, {
          clipRange: 0.2,
          entropyCoef,
          klCoef,
        });
        const dlogprobs = expected.dlogprobs.map((d, n) =>
          estimate && mask[n] === 1 ? d + expected.dkl[n] * estimate.dlogprobs[n] : d
        );
        const live = mask.flatMap((m, n) => m === 1 ? [n] : []);
        const ratioSquared = live.reduce(
          (sum, n) => sum + Math.exp(batch.logprobs[n] - batch.oldLogprobs[n]) ** 2 / live.length,
          0,
        );
        const logRatioMax = Math.max(
          ...live.map((n) => Math.abs(batch.logprobs[n] - batch.oldLogprobs[n])),
        );

        const tolerance = { atol: 2e-6, rtol: 5e-6 }; // sums of a thousand f32 terms; exp of 5
        assertClose(actual.dlogprobs, dlogprobs, tolerance, `dlogprobs, ${klTerm}`);
        assertClose(actual.dentropy, expected.dentropy, tolerance, "dentropy");
        const dkl = klTerm === "full" ? expected.dkl : Array(N).fill(0);
        assertClose(actual.dkl, dkl, tolerance, "dkl");
        const statistics: Record<keyof typeof PPO_STATS, number> = {
          policyLoss: expected.policyLoss,
          entropy: expected.entropy,
          klTerm: expected.kl,
          clipFraction: expected.clipFraction,
          approxKl: expected.approxKl,
          policyKl: expected.policyKl,
          ratio: expected.ratioMean,
          ratioSquared,
          weight: 1,
          ratioMax: expected.ratioMax,
          logRatioMax,
        };
        for (const [name, index] of Object.entries(PPO_STATS)) {
          const value = statistics[name as keyof typeof PPO_STATS];
          assertClose([actual.sums[index]], [value], tolerance, `${name}, ${klTerm}`);
        }
      }
    }));
}

Deno.test("ppoLoss() of micro-batches adds up to that of the batch", () =>
  withGpu(async (gpu) => {
    const { batch } = randomBatch(301);
    const slice = (from: number, to: number): Batch => ({
      logprobs: batch.logprobs.slice(from, to),
      oldLogprobs: batch.oldLogprobs.slice(from, to),
      advantages: batch.advantages.slice(from, to),
      weights: batch.weights.slice(from, to),
      entropy: batch.entropy.slice(from, to),
    });
    const whole = await run(gpu, [slice(0, 301)]);
    const parts = await run(gpu, [slice(0, 13), slice(13, 200), slice(200, 301)]);

    assertClose(parts.sums, whole.sums, { atol: 1e-6, rtol: 1e-6 }); // another order of summation
    assertEquals([parts.stat("ratioMax"), parts.stat("logRatioMax")], [
      whole.stat("ratioMax"),
      whole.stat("logRatioMax"),
    ]);
    const gradients = parts.outputs.flatMap((output) => Array.from(output.dlogprobs));
    assertEquals(gradients, Array.from(whole.dlogprobs)); // of a token, the same bits in any batch
  }));

Deno.test("ppoLoss() has the ratio exactly 1 where nothing has changed", () =>
  withGpu(async (gpu) => {
    const logprobs = randn(64, 1);
    const weights = Array(64).fill(1 / 64);
    const batch = { logprobs, oldLogprobs: logprobs, advantages: randn(64, 2), weights };
    const { stat } = await run(gpu, [batch]);
    assertEquals(
      [
        stat("ratio"),
        stat("ratioSquared"),
        stat("ratioMax"),
        stat("logRatioMax"),
        stat("clipFraction"),
      ],
      [1, 1, 1, 0, 0],
    );
  }));

Deno.test("ppoLoss() takes the pessimistic side of the clip", () =>
  withGpu(async (gpu) => {
    for (
      const [logprob, A, loss] of [
        [1, 1, -1.2],
        [-1, 1, -Math.exp(-1)],
        [0.1, 1, -Math.exp(0.1)],
        [1, -1, Math.E],
        [-1, -1, 0.8],
      ]
    ) {
      const batch = { logprobs: [logprob], oldLogprobs: [0], advantages: [A], weights: [1] };
      const { stat } = await run(gpu, [batch]);
      assertClose([stat("policyLoss")], [loss], { atol: 1e-6 });
    }
  }));

Deno.test("ppoLoss() bounds the ratio but not the statistics of its logarithm", () =>
  withGpu(async (gpu) => {
    const batch = {
      logprobs: [1000, -1000, 100],
      oldLogprobs: [0, 0, 0],
      advantages: [0, 1, -1], // without an advantage there is no loss: not 0 times infinity
      weights: [0.25, 0.25, 0.5],
    };
    const { dlogprobs, stat } = await run(gpu, [batch]);
    const bound = Math.exp(20);
    assertClose(dlogprobs, [0, 0, 0.5 * bound], { atol: 1e-6, rtol: 1e-5 }); // exp of 20
    assertClose([stat("policyLoss"), stat("ratioMax")], [0.5 * bound, bound], {
      atol: 0,
      rtol: 1e-5,
    });
    assertClose([stat("policyKl"), stat("logRatioMax")], [-50, 1000], { atol: 1e-4 });
  }));

for (const key of ["logprobs", "oldLogprobs", "advantages", "refLogprobs"] as const) {
  Deno.test(`ppoLoss() does not hide NaN in ${key}`, () =>
    withGpu(async (gpu) => {
      for (const klTerm of ["k1", "k2", "k3", "abs"] as const) {
        const batch = {
          logprobs: [-1, -1],
          oldLogprobs: [-1, -1],
          advantages: [1, 1],
          refLogprobs: [-1, -1],
          weights: [0.5, 0.5],
        };
        batch[key][1] = NaN;
        const { dlogprobs, sums, stat } = await run(gpu, [batch], { klTerm, beta: 0.1 });
        assert(Number.isNaN(dlogprobs[1]), `${klTerm}: gradient ${dlogprobs[1]}`);
        assert(Number.isFinite(dlogprobs[0]));
        assert(sums.some(Number.isNaN));
        if (key !== "refLogprobs") assert(Number.isNaN(stat("policyLoss")));
        if (key === "refLogprobs") assert(Number.isNaN(stat("klTerm")));
      }
    }));
}

Deno.test("ppoLoss() gives masked tokens exactly 0, even if everything is NaN", () =>
  withGpu(async (gpu) => {
    const nan = [NaN, NaN];
    const { dlogprobs, dentropy, dkl, sums } = await run(gpu, [{
      logprobs: nan,
      oldLogprobs: nan,
      advantages: nan,
      entropy: nan,
      kl: nan,
      weights: [0, 0],
    }], { klTerm: "full", entropyCoef: 1, beta: 1 });
    assertEquals([dlogprobs, dentropy, dkl].map((d) => Array.from(d)), [[0, 0], [0, 0], [0, 0]]);
    assertEquals(Array.from(sums), Array(16).fill(0));
  }));

Deno.test("ppoLoss() refuses tensors of other sizes and the exact KL term without its tensor", () =>
  withGpu((gpu) => {
    const [two, three, four, stats] = [2, 3, 4, 16].map((length) => gpu.empty([length]));
    const [tokens, tokenGradients] = [gpu.empty([2, 4]), gpu.empty([2, 4])];
    const good: PpoLossTensors = {
      ...{ logprobs: two, entropy: two, tokens },
      ...{ coefficients: four, tokenGradients, stats },
    };
    const refused = (tensors: PpoLossTensors, klTerm: KlTerm) =>
      assertThrows(
        () => ppoLoss(gpu.record(), tensors, { clipRange: 0.2, entropyCoef: 0, klTerm }),
        ShapeError,
      );
    for (const key of ["entropy", "kl", "tokens", "coefficients", "tokenGradients", "stats"]) {
      refused({ ...good, [key]: three }, "none");
    }
    refused(good, "full");
    gpu.free(two, three, four, stats, tokens, tokenGradients);
  }));
