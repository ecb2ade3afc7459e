import { assert, assertEquals, assertThrows } from "@std/assert";
import { pairLoss } from "../../kernels/pair_loss.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/pair_loss.ts";

/** Runs the kernel on pairs of scores. */
async function run(
  gpu: Gpu,
  { chosen, rejected, weights, centring = 0 }: {
    chosen: readonly number[];
    rejected: readonly number[];
    weights: readonly number[];
    centring?: number;
  },
) {
  const P = chosen.length;
  const scores = gpu.tensor([...chosen, ...rejected], [2, P]);
  const dscores = gpu.tensor(new Float32Array(2 * P).fill(7e7), [2, P]); // to be overwritten
  const tensors = { scores, dscores, weights: gpu.tensor(weights), losses: gpu.empty([P]) };
  const pass = gpu.record();
  pairLoss(pass, tensors, { centring });
  pass.submit();
  const gradient = Array.from(await gpu.read(dscores));
  const losses = Array.from(await gpu.read(tensors.losses));
  gpu.free(...Object.values(tensors));
  return { losses, chosen: gradient.slice(0, P), rejected: gradient.slice(P) };
}

const CASES = [
  { P: 1, scale: 1, centring: 0 },
  { P: 7, scale: 3, centring: 0.01 },
  { P: 65, scale: 100, centring: 0.5 }, // exp() of the negative margin would overflow
  { P: 1009, scale: 1, centring: 0 },
];
for (const { P, scale, centring } of CASES) {
  Deno.test(`pairLoss() of ${P} pairs x ${scale}, centring ${centring}, matches f64`, () =>
    withGpu(async (gpu) => {
      const chosen = Array.from(randn(P, 1), (x) => x * scale).map(Math.fround);
      const rejected = Array.from(randn(P, 2), (x) => x * scale).map(Math.fround);
      const weights = Array.from(randn(P, 3), Math.abs);
      const actual = await run(gpu, { chosen, rejected, weights, centring });

      const pairs = chosen.map((score, n) => [score, rejected[n]] as const);
      const tolerance = { atol: 2e-7, rtol: 2e-6 }; // a few roundings of f32; 1 + exp(-margin) ends at 6e-8
      assertClose(
        actual.losses,
        pairs.map(([c, r]) => reference.pairLoss(c, r, centring)),
        tolerance,
        "losses",
      );
      for (const side of ["chosen", "rejected"] as const) {
        const expected = pairs.map(([c, r], n) =>
          weights[n] * reference.pairLossGradient(c, r, centring)[side]
        );
        // Where the two terms of the gradient cancel, what is left has the rounding of the larger one.
        assertClose(actual[side], expected, {
          atol: 2e-6 * (1 + 4 * centring * scale),
          rtol: 2e-6,
        });
      }
    }));
}

Deno.test("the reference's gradient is that of its loss", () => {
  for (const [chosen, rejected, centring] of [[0.3, -0.2, 0], [-2, 5, 0.1], [4, -3, 0.01]]) {
    const expected = numericGradient(([c, r]) => reference.pairLoss(c, r, centring), [
      chosen,
      rejected,
    ]);
    const actual = reference.pairLossGradient(chosen, rejected, centring);
    assertClose([actual.chosen, actual.rejected], expected, { atol: 1e-8, rtol: 1e-6 });
  }
});

Deno.test("pairLoss() of huge margins is finite: the margin itself, or nothing", () =>
  withGpu(async (gpu) => {
    const { losses, chosen } = await run(gpu, {
      chosen: [1e30, -1e30, 500, 0],
      rejected: [-1e30, 1e30, 0, 0],
      weights: [1, 1, 1, 1],
    });
    assertClose(losses, [0, 2e30, 0, Math.LN2], { atol: 1e-7, rtol: 1e-6 });
    assertClose(chosen, [0, -1, 0, -0.5], { atol: 1e-7 });
  }));

Deno.test("pairLoss() gives pairs of weight 0 a gradient of 0, and hides no NaN elsewhere", () =>
  withGpu(async (gpu) => {
    const actual = await run(gpu, {
      chosen: [NaN, NaN, 1],
      rejected: [0, 0, 0],
      weights: [0, 1, 1],
    });
    assertEquals([actual.chosen[0], actual.rejected[0]], [0, 0]);
    assert(Number.isNaN(actual.chosen[1]) && Number.isNaN(actual.rejected[1]));
    assert(Number.isNaN(actual.losses[1]) && Number.isFinite(actual.losses[2]));
  }));

Deno.test("pairLoss() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const [two, four, three] = [2, 4, 3].map((length) => gpu.empty([length]));
    const good = { scores: four, weights: two, dscores: four, losses: two };
    for (const key of ["scores", "weights", "dscores", "losses"]) {
      assertThrows(() => pairLoss(gpu.record(), { ...good, [key]: three }), ShapeError);
    }
    gpu.free(two, four, three);
  }));
