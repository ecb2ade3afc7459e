import { assertEquals, assertThrows } from "@std/assert";
import { klForward } from "../../kernels/kl.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { tokenLogprobsBackward, tokenLogprobsForward } from "../../kernels/token_logprobs.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { klFull, klFullGradient } from "../reference/kl.ts";
import { tokenLogprob, tokenLogprobGradient } from "../reference/token_logprobs.ts";

const SHAPES = [
  { N: 3, V: 1, stride: 1, scale: 1, temperature: 1 }, // fewer columns than lanes
  { N: 5, V: 7, stride: 7, scale: 1, temperature: 0.7 },
  { N: 4, V: 63, stride: 64, scale: 1, temperature: 1.3 }, // padded rows
  { N: 4, V: 65, stride: 68, scale: 1, temperature: 1 },
  { N: 3, V: 1009, stride: 1009, scale: 50, temperature: 1 }, // exp() would overflow without the shift
  { N: 2, V: 50257, stride: 50304, scale: 3, temperature: 0.9 },
];

/** Records forward and KL of `N` rows; the slots are freed by the returned function. */
function record(
  gpu: Gpu,
  { logits, refLogits, targets }: { logits: Tensor; refLogits: Tensor; targets: Tensor<"u32"> },
  temperature: number,
) {
  const N = targets.size;
  const [logprobs, lse, entropy, kl] = [0, 1, 2, 3].map(() => gpu.empty([N]));
  const [refLogprobs, refLse, refEntropy] = [0, 1, 2].map(() => gpu.empty([N]));
  const pass = gpu.record();
  tokenLogprobsForward(pass, { logits, targets, logprobs, lse, entropy }, { temperature });
  tokenLogprobsForward(
    pass,
    { logits: refLogits, targets, logprobs: refLogprobs, lse: refLse, entropy: refEntropy },
    { temperature },
  );
  klForward(pass, { logits, refLogits, lse, refLse, kl }, { temperature });
  pass.submit();
  const free = () => gpu.free(logprobs, lse, entropy, kl, refLogprobs, refLse, refEntropy);
  return { logprobs, lse, entropy, refLse, kl, free };
}

/** What the backward is given of a loss, as `ppoLoss` leaves it. */
function gradientsOf(
  gpu: Gpu,
  { dlogprob, dentropy, dkl }: Record<"dlogprob" | "dentropy", ArrayLike<number>> & {
    dkl?: ArrayLike<number>;
  },
): Tensor {
  const rows = Array.from(dlogprob, (d, n) => [d, dentropy[n], dkl?.[n] ?? 0, 0]);
  return gpu.tensor(rows.flat(), [rows.length, 4]);
}

for (const { N, V, stride, scale, temperature } of SHAPES) {
  const name = `(${N}, ${V}) stride ${stride} x ${scale} at T = ${temperature}`;
  Deno.test(`tokenLogprobsForward(), klForward() and the backward match f64 at ${name}`, () =>
    withGpu(async (gpu) => {
      const x = randn(N * stride, 1).map((xi) => xi * scale);
      const refX = randn(N * V, 2).map((xi, i) =>
        xi * 0.3 * scale + x[Math.floor(i / V) * stride + i % V]
      );
      const ids = Array.from({ length: N }, (_, n) => (n * 31 + V - 1) % V);
      const [dlogprob, dentropy, dk] = [3, 4, 5].map((seed) => randn(N, seed));
      const padded = gpu.tensor(x, [N, stride]);
      const logits = padded.columns(0, V);
      const refLogits = gpu.tensor(refX, [N, V]);
      const targets = gpu.tensor(ids, [N], "u32");
      const gradients = gradientsOf(gpu, { dlogprob, dentropy, dkl: dk });
      const out = record(gpu, { logits, refLogits, targets }, temperature);
      const pass = gpu.record();
      tokenLogprobsBackward(pass, {
        logits,
        targets,
        lse: out.lse,
        entropy: out.entropy,
        tokenGradients: gradients,
        refLogits,
        refLse: out.refLse,
        kl: out.kl,
      }, { temperature });
      pass.submit();

      const rows = ids.map((target, n) => {
        const row = x.subarray(n * stride, n * stride + V);
        const refRow = refX.subarray(n * V, (n + 1) * V);
        const kl = klFull(row, refRow, temperature);
        return { row, refRow, kl, ...tokenLogprob(row, target, temperature) };
      });
      const expectedGradient = Array.from(x); // columns beyond V stay
      rows.forEach(({ row, refRow }, n) => {
        const options = { temperature, dlogprob: dlogprob[n], dentropy: dentropy[n] };
        const ofKl = klFullGradient(row, refRow, temperature);
        tokenLogprobGradient(row, ids[n], options).forEach((value, v) => {
          expectedGradient[n * stride + v] = value + dk[n] * ofKl[v];
        });
      });
      // Logits of 150 have an f32 spacing of 1.5e-5; sums of 50,000 terms lose another 1e-6.
      const tolerance = { atol: 3e-6 * (1 + scale), rtol: 2e-6 };
      assertClose(await gpu.read(out.logprobs), rows.map((r) => r.logprob), tolerance, "logprobs");
      assertClose(await gpu.read(out.lse), rows.map((r) => r.lse), tolerance, "lse");
      assertClose(await gpu.read(out.entropy), rows.map((r) => r.entropy), tolerance, "entropy");
      assertClose(await gpu.read(out.kl), rows.map((r) => r.kl), tolerance, "kl");
      assertClose(await gpu.read(padded), expectedGradient, tolerance, "dlogits");
      out.free();
      gpu.free(padded, refLogits, targets, gradients);
    }));
}

for (
  const { name, options, input, expected } of casesOf<
    { temperature: number },
    { logits: number[][]; targets: number[] },
    {
      logprobs: number[];
      entropy: number[];
      dlogits_of_sum_logprobs: number[][];
      dlogits_of_sum_entropy: number[][];
    }
  >("tokenLogprobs")
) {
  Deno.test(`tokenLogprobs agrees with case ${name} at T = ${options.temperature}`, () =>
    withGpu(async (gpu) => {
      const shape = [input.logits.length, input.logits[0].length];
      const [logits, again] = [0, 1].map(() => gpu.tensor(input.logits.flat(), shape));
      const targets = gpu.tensor(input.targets, [shape[0]], "u32");
      const [ones, zeros] = [1, 0].map((value) => input.targets.map(() => value));
      const ofLogprobs = gradientsOf(gpu, { dlogprob: ones, dentropy: zeros });
      const ofEntropy = gradientsOf(gpu, { dlogprob: zeros, dentropy: ones });
      const [logprobs, lse, entropy] = [0, 1, 2].map(() => gpu.empty([shape[0]]));

      const pass = gpu.record();
      tokenLogprobsForward(pass, { logits, targets, logprobs, lse, entropy }, options);
      const saved = { targets, lse, entropy };
      tokenLogprobsBackward(pass, { logits, ...saved, tokenGradients: ofLogprobs }, options);
      tokenLogprobsBackward(pass, { logits: again, ...saved, tokenGradients: ofEntropy }, options);
      pass.submit();

      const tolerance = { atol: 2e-6 }; // a few roundings of numbers below 10
      assertClose(await gpu.read(logprobs), expected.logprobs, tolerance, "logprobs");
      assertClose(await gpu.read(entropy), expected.entropy, tolerance, "entropy");
      const { dlogits_of_sum_logprobs, dlogits_of_sum_entropy } = expected;
      assertClose(await gpu.read(logits), dlogits_of_sum_logprobs.flat(), tolerance, "dlogits");
      assertClose(await gpu.read(again), dlogits_of_sum_entropy.flat(), tolerance, "of entropy");
      gpu.free(logits, again, targets, ofLogprobs, ofEntropy, logprobs, lse, entropy);
    }));
}

Deno.test("tokenLogprobsForward() gives a row the same bits in any batch", () =>
  withGpu(async (gpu) => {
    const [N, V] = [9, 1009];
    const x = randn(N * V, 1);
    const read = async (from: number, to: number) => {
      const logits = gpu.tensor(x.subarray(from * V, to * V), [to - from, V]);
      const targets = gpu.tensor(new Uint32Array(to - from).fill(5), [to - from], "u32");
      const out = record(gpu, { logits, refLogits: logits, targets }, 0.7);
      const results = await gpu.readAll([out.logprobs, out.entropy, out.lse]);
      out.free();
      gpu.free(logits, targets);
      return results;
    };

    const whole = await read(0, N);
    const part = await read(3, 5);
    assertEquals(part, whole.map((values) => values.slice(3, 5)));
  }));

Deno.test("tokenLogprobsBackward() gives 0 to rows without a gradient, even from NaN", () =>
  withGpu(async (gpu) => {
    const logits = gpu.tensor([NaN, 1, 2, 3, NaN, 5], [2, 3]);
    const targets = gpu.tensor([0, 1], [2], "u32");
    const gradients = gradientsOf(gpu, { dlogprob: [0, 1], dentropy: [0, 1] });
    const out = record(gpu, { logits, refLogits: logits, targets }, 1);
    const pass = gpu.record();
    const { lse, entropy } = out;
    tokenLogprobsBackward(pass, { logits, targets, lse, entropy, tokenGradients: gradients }, {
      temperature: 1,
    });
    pass.submit();

    const gradient = await gpu.read(logits);
    assertEquals(Array.from(gradient.subarray(0, 3)), [0, 0, 0]);
    assertEquals(gradient.subarray(3).every(Number.isNaN), true, "NaN must not be hidden");
    out.free();
    gpu.free(logits, targets, gradients);
  }));

Deno.test("tokenLogprobs refuses tensors of other sizes and half a reference", () =>
  withGpu((gpu) => {
    const [logits, two, three] = [gpu.empty([2, 3]), gpu.empty([2]), gpu.empty([3])];
    const eight = gpu.empty([2, 4]);
    const [ids, threeIds] = [gpu.empty([2], "u32"), gpu.empty([3], "u32")];
    const at1 = { temperature: 1 };

    const forward = { logits, targets: ids, logprobs: two, lse: two, entropy: two };
    const wrongForward = [{ targets: threeIds }, { logprobs: three }, { lse: three }];
    for (const wrong of [...wrongForward, { entropy: three }]) {
      const tensors = { ...forward, ...wrong };
      assertThrows(() => tokenLogprobsForward(gpu.record(), tensors, at1), ShapeError);
    }
    const backward = {
      logits,
      targets: ids,
      lse: two,
      entropy: two,
      tokenGradients: eight,
      refLogits: logits,
      refLse: two,
      kl: two,
    };
    const wrongSizes = [{ tokenGradients: three }, { refLogits: two }, { kl: three }];
    for (const wrong of [...wrongSizes, { kl: undefined }, { refLogits: undefined }]) {
      const tensors = { ...backward, ...wrong };
      assertThrows(() => tokenLogprobsBackward(gpu.record(), tensors, at1), ShapeError);
    }
    gpu.free(logits, two, three, eight, ids, threeIds);
  }));
