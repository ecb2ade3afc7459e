import { assertEquals, assertThrows } from "@std/assert";
import { adamw, adamwAdvance, type AdamwOptions } from "../../kernels/adamw.ts";
import { globalNorm, globalNormPartials } from "../../kernels/global_norm.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { adamwStep } from "../reference/adamw.ts";

interface Options extends AdamwOptions {
  learningRate: number;
  maxGradNorm: number;
}

/** An optimizer of one flat range; `free` releases all of it. */
function optimizer(gpu: Gpu, initial: Float32Array, options: Options) {
  const size = initial.length;
  const tensors = {
    params: gpu.tensor(initial),
    grads: gpu.empty([size]),
    m: gpu.empty([size]),
    v: gpu.empty([size]),
    norm: gpu.empty([4]),
    state: gpu.empty([4]),
    learningRate: gpu.tensor([options.learningRate]),
  };
  const partials = gpu.empty([globalNormPartials([tensors.grads])]);
  return {
    ...tensors,
    step(grads: Float32Array): void {
      gpu.write(tensors.grads, grads);
      const pass = gpu.record();
      const { norm, state } = tensors;
      globalNorm(pass, { grads: [tensors.grads], partials, norm }, {
        maxNorm: options.maxGradNorm,
      });
      adamwAdvance(pass, { norm, state }, options);
      adamw(pass, tensors, options);
      pass.submit();
    },
    free: () => gpu.free(partials, ...Object.values(tensors)),
  };
}

/** The numbers with zeros after them, up to a multiple of 64. */
function padded(numbers: ArrayLike<number>): Float32Array {
  const all = new Float32Array(Math.ceil(numbers.length / 64) * 64);
  all.set(numbers);
  return all;
}

interface Input {
  params: number[];
  grads: number[][];
}
interface Expected {
  /** After each step. */
  params: number[][];
  gradNorm: number[];
}
for (const { name, options, input, expected } of casesOf<Options, Input, Expected>("adamw")) {
  Deno.test(`adamw() follows case ${name}`, () =>
    withGpu(async (gpu) => {
      const run = optimizer(gpu, padded(input.params), options);
      for (const [t, grads] of input.grads.entries()) {
        run.step(padded(grads));
        const params = await gpu.read(run.params);
        // A step moves a parameter by about 0.01; its size of 1 and a few roundings set the error.
        assertClose(params, padded(expected.params[t]), { atol: 5e-7, rtol: 1e-6 });
        const [gradNorm] = await gpu.read(run.norm);
        assertClose([gradNorm], [expected.gradNorm[t]], { atol: 0, rtol: 1e-6 });
      }
      run.free();
    }));
}

const options = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
};

Deno.test("adamw() stays with f64 over 200 steps, moments and bias corrections too", () =>
  withGpu(async (gpu) => {
    const initial = randn(192, 1);
    const state = {
      params: Float64Array.from(initial),
      m: new Float64Array(192),
      v: new Float64Array(192),
      step: 0,
    };
    const run = optimizer(gpu, initial, options);
    for (let t = 0; t < 200; t++) {
      const grads = randn(192, t + 2);
      run.step(grads);
      adamwStep(state, grads, options);
    }
    // f32(0.999) is 1.3e-8 off, which 200 steps make 3e-6 of v; in params it cancels, and roundings walk.
    assertClose(await gpu.read(run.params), state.params, { atol: 3e-6, rtol: 1e-6 }, "params");
    assertClose(await gpu.read(run.m), state.m, { atol: 1e-7, rtol: 5e-6 }, "m");
    assertClose(await gpu.read(run.v), state.v, { atol: 0, rtol: 1e-5 }, "v");
    const corrections = [200, 1 - 0.9 ** 200, 1 - 0.999 ** 200, 0];
    assertClose(await gpu.read(run.state), corrections, { atol: 0, rtol: 1e-5 }, "state");
    run.free();
  }));

Deno.test("adamw() and adamwAdvance() change nothing where the gradient is not finite", () =>
  withGpu(async (gpu) => {
    const run = optimizer(gpu, randn(128, 1), options);
    run.step(randn(128, 2));
    const kept = [run.params, run.m, run.v, run.state];
    const before = await gpu.readAll(kept);
    for (const value of [NaN, Infinity]) {
      const grads = randn(128, 3);
      grads[77] = value;
      run.step(grads);
      assertEquals(await gpu.readAll(kept), before);
    }
    run.step(randn(128, 2));
    assertEquals((await gpu.read(run.state))[0], 2);
    run.free();
  }));

Deno.test("adamw() reaches every parameter of a range that folds its dispatch", () =>
  withGpu(async (gpu) => {
    const size = 65_536 * 256 + 64;
    const run = optimizer(gpu, new Float32Array(size), { ...options, maxGradNorm: 0 });
    run.step(Float32Array.from({ length: size }, (_, i) => i % 2 ? 1e-3 : -1e-3));
    const params = await gpu.read(run.params);
    // The first step of Adam is the learning rate times the sign, but for epsilon.
    const step = -1e-3 / (1 + 1e-8 / 1e-3);
    assertEquals(params.findIndex((p, i) => Math.abs(p - (i % 2 ? step : -step)) > 1e-9), -1);
    run.free();
  }));

Deno.test("adamw() and adamwAdvance() refuse tensors of other sizes", () =>
  withGpu((gpu) => {
    const run = optimizer(gpu, new Float32Array(64), options);
    const wrong = gpu.empty([65]);
    const pass = gpu.record();
    const { step: _step, free: _free, ...good } = run;
    for (const name of Object.keys(good)) {
      const tensors: Record<string, Tensor> = { ...good, [name]: wrong };
      assertThrows(() => adamw(pass, tensors as typeof good, options), ShapeError, name);
    }
    const { norm, state } = good;
    assertThrows(() => adamwAdvance(pass, { norm: wrong, state }, options), ShapeError, "norm");
    assertThrows(() => adamwAdvance(pass, { norm, state: wrong }, options), ShapeError, "state");
    gpu.free(wrong);
    run.free();
  }));
