import { assertEquals, assertThrows } from "@std/assert";
import { crossEntropy } from "../../kernels/cross_entropy.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { logSoftmax, tokenLogprob, tokenLogprobGradient } from "../reference/token_logprobs.ts";

const CASES = [
  { N: 3, V: 1, stride: 1, scale: 1 }, // fewer columns than lanes
  { N: 5, V: 7, stride: 7, scale: 1 },
  { N: 4, V: 63, stride: 64, scale: 1 }, // padded rows
  { N: 4, V: 65, stride: 65, scale: 1 },
  { N: 3, V: 1009, stride: 1012, scale: 50 }, // exp() would overflow without the shift
  { N: 1, V: 50257, stride: 50257, scale: 3 },
];

function run(
  gpu: Gpu,
  tensors: { logits: Tensor; weights: Tensor; targets: Tensor<"u32"> },
  options: { labelSmoothing?: number } = {},
) {
  const losses = gpu.empty([tensors.targets.size]);
  const pass = gpu.record();
  crossEntropy(pass, { ...tensors, losses }, options);
  pass.submit();
  return losses;
}

for (const { N, V, stride, scale } of CASES) {
  Deno.test(`crossEntropy() matches f64 at (${N}, ${V}) stride ${stride} x ${scale}`, () =>
    withGpu(async (gpu) => {
      const x = randn(N * stride, 1).map((xi) => xi * scale);
      const ids = Array.from({ length: N }, (_, n) => (n * 31 + V - 1) % V);
      const factors = Float32Array.from({ length: N }, (_, n) => 0.5 + n);
      const padded = gpu.tensor(x, [N, stride]);
      const targets = gpu.tensor(ids, [N], "u32");
      const weights = gpu.tensor(factors);
      const losses = run(gpu, { logits: padded.columns(0, V), targets, weights });

      const expected = Array.from(x); // columns beyond V stay
      const expectedLosses = ids.map((target, n) => {
        const row = x.subarray(n * stride, n * stride + V);
        const gradient = tokenLogprobGradient(row, target, { dlogprob: -factors[n] });
        gradient.forEach((value, v) => expected[n * stride + v] = value);
        return -tokenLogprob(row, target).logprob;
      });
      // Logits of 50 s have an f32 spacing of 1e-5; sums of 50,000 terms lose another 1e-6.
      const tolerance = { atol: 3e-6 * (1 + scale / 3), rtol: 1e-6 };
      assertClose(await gpu.read(losses), expectedLosses, tolerance, "losses");
      assertClose(await gpu.read(padded), expected, tolerance, "dlogits");
      gpu.free(padded, targets, weights, losses);
    }));
}

for (
  const { V, labelSmoothing, scale } of [
    { V: 1, labelSmoothing: 0.1, scale: 1 }, // there is nothing to spread to
    { V: 2, labelSmoothing: 0.05, scale: 3 }, // a binary classifier
    { V: 67, labelSmoothing: 0.3, scale: 100 },
  ]
) {
  Deno.test(`crossEntropy() with label smoothing ${labelSmoothing} matches f64 at V = ${V}`, () =>
    withGpu(async (gpu) => {
      const N = 5;
      const x = randn(N * V, 7).map((xi) => xi * scale);
      const ids = Array.from({ length: N }, (_, n) => n % V);
      const logits = gpu.tensor(x, [N, V]);
      const targets = gpu.tensor(ids, [N], "u32");
      const weights = gpu.tensor(new Float32Array(N).fill(0.2));
      const losses = run(gpu, { logits, targets, weights }, { labelSmoothing });

      const loss = (row: ArrayLike<number>, target: number) => {
        const mean = logSoftmax(row).reduce((sum, lp) => sum + lp / V, 0);
        return -(1 - labelSmoothing) * logSoftmax(row)[target] - labelSmoothing * mean;
      };
      const rows = ids.map((_, n) => x.subarray(n * V, (n + 1) * V));
      // Losses of hundreds of nats are sums of f32 terms of that size.
      const tolerance = { atol: 2e-6 * scale, rtol: 1e-6 };
      const expected = rows.map((row, n) => loss(row, ids[n]));
      assertClose(await gpu.read(losses), expected, tolerance, "losses");
      const gradient = rows.flatMap((row, n) => [
        ...numericGradient((z) => 0.2 * loss(z, ids[n]), row),
      ]);
      assertClose(await gpu.read(logits), gradient, { atol: 2e-6 }, "dlogits"); // differences of 1e-5
      gpu.free(logits, targets, weights, losses);
    }));
}

Deno.test("crossEntropy() gives rows of weight 0 a gradient of 0, even from NaN", () =>
  withGpu(async (gpu) => {
    const logits = gpu.tensor([NaN, 1, 2, 3, NaN, 5], [2, 3]);
    const targets = gpu.tensor([0, 1], [2], "u32");
    const weights = gpu.tensor([0, 1]);
    const losses = run(gpu, { logits, targets, weights });

    const gradient = await gpu.read(logits);
    assertEquals(Array.from(gradient.subarray(0, 3)), [0, 0, 0]);
    assertEquals(gradient.subarray(3).every(Number.isNaN), true, "NaN must not be hidden");
    gpu.free(logits, targets, weights, losses);
  }));

Deno.test("crossEntropy() folds more than 65,535 rows", () =>
  withGpu(async (gpu) => {
    const N = 65_537;
    const logits = gpu.tensor(Float32Array.from({ length: 2 * N }, (_, i) => i % 2), [N, 2]);
    const targets = gpu.tensor(new Uint32Array(N), [N], "u32");
    const weights = gpu.tensor(new Float32Array(N).fill(1));
    const losses = run(gpu, { logits, targets, weights });

    const expected = new Float32Array(N).fill(Math.log(1 + Math.E));
    assertClose(await gpu.read(losses), expected, { atol: 1e-6 }); // a few roundings
    gpu.free(logits, targets, weights, losses);
  }));

Deno.test("crossEntropy() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const [logits, three, two] = [gpu.empty([2, 3]), gpu.empty([3]), gpu.empty([2])];
    const ids = gpu.empty([2], "u32");
    const threeIds = gpu.empty([3], "u32");
    const good = { logits, targets: ids, weights: two, losses: two };
    for (const wrong of [{ targets: threeIds }, { weights: three }, { losses: three }]) {
      assertThrows(() => crossEntropy(gpu.record(), { ...good, ...wrong }), ShapeError);
    }
    gpu.free(logits, three, two, ids, threeIds);
  }));
