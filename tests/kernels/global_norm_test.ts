import { assertEquals, assertThrows } from "@std/assert";
import { globalNorm, globalNormPartials } from "../../kernels/global_norm.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";

async function run(gpu: Gpu, ranges: Float32Array[], maxNorm: number): Promise<Float32Array> {
  const grads = ranges.map((range) => gpu.tensor(range));
  const partials = gpu.empty([globalNormPartials(grads)]);
  const norm = gpu.tensor([9, 9, 9, 9]);
  const pass = gpu.record();
  globalNorm(pass, { grads, partials, norm }, { maxNorm });
  pass.submit();
  const result = await gpu.read(norm);
  gpu.free(...grads, partials, norm);
  return result;
}

for (const sizes of [[64], [64, 128, 4096 * 64 + 64], [1 << 20, 64]]) {
  Deno.test(`globalNorm() matches f64 over ranges of ${sizes.join(", ")}, the same bits each time`, () =>
    withGpu(async (gpu) => {
      const ranges = sizes.map((size, i) => randn(size, i + 1));
      const squares = ranges.flatMap((range) => range.reduce((sum, g) => sum + g * g, 0));
      const expected = Math.sqrt(squares.reduce((sum, s) => sum + s));
      const result = await run(gpu, ranges, 1);
      // Sums of up to 4,096 squares in each of many lanes: a few 1e-7 each.
      const tolerance = { atol: 0, rtol: 2e-6 };
      assertClose(result, [expected, 1 / (expected + 1e-6), 1, 0], tolerance);
      assertEquals(await run(gpu, ranges, 1), result);
    }));
}

Deno.test("globalNorm() clips only what is longer than the largest norm, and nothing at 0", () =>
  withGpu(async (gpu) => {
    const grads = new Float32Array(64);
    grads.set([3, 4], 62);
    const root = { atol: 5e-7 }; // WGSL lets a root of 25 be off by a unit in its last place
    assertClose(await run(gpu, [grads], 6), [5, 1, 1, 0], root);
    assertClose(await run(gpu, [grads], 0), [5, 1, 1, 0], root);
    assertClose(await run(gpu, [grads], 2), [5, 2 / (5 + 1e-6), 1, 0], { atol: 1e-7 });
    assertEquals(await run(gpu, [new Float32Array(64)], 1), Float32Array.of(0, 1, 1, 0));
  }));

for (const value of [NaN, Infinity, -Infinity, 1e20]) { // 1e20 squared overflows
  Deno.test(`globalNorm() calls a gradient with ${value} not finite`, () =>
    withGpu(async (gpu) => {
      for (const at of [0, 63, 4096 * 64]) {
        const long = new Float32Array(4096 * 64 + 64);
        long[at] = value;
        const [, clip, finite] = await run(gpu, [new Float32Array(64), long], 1);
        assertEquals([clip, finite], [0, 0]);
      }
    }));
}

Deno.test("globalNorm() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const [good, odd, four, partials] = [64, 65, 4, 64].map((size) => gpu.empty([size]));
    const pass = gpu.record();
    const norm = (tensors: { grads?: Tensor[]; partials?: Tensor; norm?: Tensor }) =>
      globalNorm(pass, { grads: [good], partials, norm: four, ...tensors }, { maxNorm: 1 });
    assertThrows(() => norm({ grads: [odd] }), ShapeError, "64");
    assertThrows(() => norm({ partials: four }), ShapeError, "partials");
    assertThrows(() => norm({ norm: good }), ShapeError, "norm");
    gpu.free(good, odd, four, partials);
  }));
