import { assertEquals, assertThrows } from "@std/assert";
import {
  layerNormBackward,
  layerNormBackwardParameters,
  layerNormForward,
  layerNormPartials,
} from "../../kernels/layer_norm.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { layerNorm } from "../reference/layer_norm.ts";

const epsilon = 1e-5;

const CASES = [
  { N: 1, C: 1, offset: 0 },
  { N: 3, C: 7, offset: 0 }, // one lane short
  { N: 17, C: 13, offset: 0 }, // two partial sums, the second shorter
  { N: 5, C: 36, offset: 0 }, // vec4 rows, one more vec4 than lanes
  { N: 2, C: 257, offset: 0 },
  { N: 2, C: 768, offset: 0 },
  { N: 2, C: 768, offset: 1000 }, // E[x^2] - E[x]^2 in f32 would be off by 100 %
];

interface Inputs {
  N: number;
  x: Float32Array;
  weight: Float32Array;
  bias: Float32Array;
}

/** Runs the forward pass; the caller frees all that is returned. */
function forward(gpu: Gpu, inputs: Inputs) {
  const C = inputs.weight.length;
  const tensors = {
    x: gpu.tensor(inputs.x, [inputs.N, C]),
    weight: gpu.tensor(inputs.weight),
    bias: gpu.tensor(inputs.bias),
    out: gpu.empty([inputs.N, C]),
    mean: gpu.empty([inputs.N]),
    rstd: gpu.empty([inputs.N]),
  };
  const pass = gpu.record();
  layerNormForward(pass, tensors, { epsilon });
  pass.submit();
  return tensors;
}

for (const { N, C, offset } of CASES) {
  const inputs = {
    N,
    x: randn(N * C, 1).map((xi) => xi + offset),
    weight: randn(C, 2),
    bias: randn(C, 3),
  };
  // Near 1000 the numbers themselves are spaced 6e-5 apart; WGSL lets the division that gives the mean be off by 2.5
  // times that, and weights of up to 3 multiply it.
  const tolerance = { atol: offset ? 6e-4 : 3e-6, rtol: 3e-6 };

  Deno.test(`layerNormForward() matches f64 at (${N}, ${C}) + ${offset}`, () =>
    withGpu(async (gpu) => {
      const tensors = forward(gpu, inputs);
      const expected = layerNorm(inputs.x, inputs.weight, inputs.bias, epsilon);
      assertClose(await gpu.read(tensors.out), expected.out, tolerance, "out");
      assertClose(await gpu.read(tensors.mean), expected.mean, tolerance, "mean");
      assertClose(await gpu.read(tensors.rstd), expected.rstd, tolerance, "rstd");
      gpu.free(...Object.values(tensors));
    }));

  Deno.test(`layerNormBackward() and layerNormBackwardParameters() add the gradients at (${N}, ${C}) + ${offset}`, () =>
    withGpu(async (gpu) => {
      const tensors = forward(gpu, inputs);
      const upstream = randn(N * C, 4);
      const before = { dx: randn(N * C, 5), dweight: randn(C, 6), dbias: randn(C, 7) };
      const gradients = {
        dout: gpu.tensor(upstream, [N, C]),
        dx: gpu.tensor(before.dx, [N, C]),
        dweight: gpu.tensor(before.dweight),
        dbias: gpu.tensor(before.dbias),
        partials: gpu.empty([layerNormPartials(N), 2, C]),
      };
      const pass = gpu.record();
      layerNormBackward(pass, { ...tensors, ...gradients });
      layerNormBackwardParameters(pass, { ...tensors, ...gradients });
      pass.submit();

      const { x, weight, bias } = inputs;
      const loss = (
        x: ArrayLike<number>,
        weight: ArrayLike<number>,
        bias: ArrayLike<number>,
      ): number =>
        layerNorm(x, weight, bias, epsilon).out.reduce((l, y, i) => l + y * upstream[i], 0);
      // Every row has its own gradient, so a few elements of the first row stand for dx.
      const probed = Math.min(C, 40);
      const row = { x: x.slice(0, C), at: x.slice(0, probed) };
      const expected = {
        dx: numericGradient((at) => loss([...at, ...row.x.slice(probed)], weight, bias), row.at),
        dweight: numericGradient((at) => loss(x, at, bias), weight),
        dbias: numericGradient((at) => loss(x, weight, at), bias),
      };
      // Central differences of an f64 sum of N * C terms are good to 1e-6 of its size.
      const atol = tolerance.atol * (1 + Math.sqrt(N)) + 1e-5;
      for (const name of ["dx", "dweight", "dbias"] as const) {
        const actual = (await gpu.read(gradients[name])).subarray(0, expected[name].length);
        const sum = expected[name].map((g, i) => g + before[name][i]);
        assertClose(actual, sum, { atol, rtol: 1e-5 }, name);
      }
      gpu.free(...Object.values(tensors), ...Object.values(gradients));
    }));
}

Deno.test("layerNormBackward() gives every row its own dx", () =>
  withGpu(async (gpu) => {
    const [N, C] = [5, 12];
    const [x, weight, bias] = [randn(N * C, 1), randn(C, 2), randn(C, 3)];
    const upstream = randn(N * C, 4);
    const whole = await dxOf(gpu, { N, x, weight, bias }, upstream);
    for (let n = 0; n < N; n++) {
      const row = (all: Float32Array) => all.slice(n * C, (n + 1) * C);
      const alone = await dxOf(gpu, { N: 1, x: row(x), weight, bias }, row(upstream));
      assertEquals(alone, row(whole), `row ${n} must not depend on its neighbours`);
    }
  }));

async function dxOf(gpu: Gpu, inputs: Inputs, upstream: Float32Array): Promise<Float32Array> {
  const { N, weight: { length: C } } = inputs;
  const tensors = {
    ...forward(gpu, inputs),
    dout: gpu.tensor(upstream, [N, C]),
    dx: gpu.empty([N, C]),
  };
  const pass = gpu.record();
  layerNormBackward(pass, tensors);
  pass.submit();
  const dx = await gpu.read(tensors.dx);
  gpu.free(...Object.values(tensors));
  return dx;
}

Deno.test("layerNormForward() folds more than 65,535 rows", () =>
  withGpu(async (gpu) => {
    const [N, C] = [65_537, 2];
    const x = Float32Array.from({ length: N * C }, (_, i) => i % 3);
    const [weight, bias] = [Float32Array.of(1, 2), Float32Array.of(3, 4)];
    const tensors = forward(gpu, { N, x, weight, bias });
    const expected = layerNorm(x, weight, bias, epsilon);
    assertClose(await gpu.read(tensors.out), expected.out, { atol: 3e-6 }); // a few roundings
    gpu.free(...Object.values(tensors));
  }));

Deno.test("layerNormForward() and layerNormBackward() refuse tensors of other shapes", () =>
  withGpu((gpu) => {
    const made: Tensor[] = [];
    const empty = (...shape: number[]) => {
      const tensor = gpu.empty(shape);
      made.push(tensor);
      return tensor;
    };
    const good = {
      x: empty(2, 3),
      weight: empty(3),
      bias: empty(3),
      out: empty(2, 3),
      mean: empty(2),
      rstd: empty(2),
      dout: empty(2, 3),
      dx: empty(2, 3),
      dweight: empty(3),
      dbias: empty(3),
      partials: empty(1, 2, 3),
    };
    const wrong = empty(2, 4);
    const pass = gpu.record();
    for (const name of ["weight", "bias", "out", "mean", "rstd"]) {
      const tensors = { ...good, [name]: wrong };
      assertThrows(() => layerNormForward(pass, tensors, { epsilon }), ShapeError, name);
    }
    for (const name of ["weight", "mean", "rstd", "dout", "dx"]) {
      assertThrows(() => layerNormBackward(pass, { ...good, [name]: wrong }), ShapeError, name);
    }
    for (const name of ["mean", "rstd", "dout", "dweight", "dbias", "partials"]) {
      const tensors = { ...good, [name]: wrong };
      assertThrows(() => layerNormBackwardParameters(pass, tensors), ShapeError, name);
    }
    const gaps = { ...good, x: wrong.columns(0, 3) };
    assertThrows(() => layerNormForward(pass, gaps, { epsilon }), ShapeError, "gaps");
    gpu.free(...made);
  }));
