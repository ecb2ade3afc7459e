import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { VALUE_STATS, valueLoss } from "../../kernels/value_loss.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/value_loss.ts";

type Batch = Record<"values" | "oldValues" | "returns" | "weights", ArrayLike<number>>;

/** Runs the kernel once for each of `batches`, all adding to the same statistics. */
async function run(
  gpu: Gpu,
  batches: Batch[],
  { clipRange = 0.2, valueCoef = 1 }: { clipRange?: number; valueCoef?: number } = {},
) {
  const stats = gpu.empty([8]);
  const gradients: number[] = [];
  for (const batch of batches) {
    const tensors = {
      values: gpu.tensor(batch.values),
      oldValues: gpu.tensor(batch.oldValues),
      returns: gpu.tensor(batch.returns),
      weights: gpu.tensor(batch.weights),
      dvalues: gpu.tensor(Array.from(batch.values, () => 7e7)), // to be overwritten
    };
    const pass = gpu.record();
    valueLoss(pass, { ...tensors, stats }, { clipRange, valueCoef });
    pass.submit();
    gradients.push(...await gpu.read(tensors.dvalues));
    gpu.free(...Object.values(tensors));
  }
  const sums = await gpu.read(stats);
  gpu.free(stats);
  return {
    dvalues: gradients,
    sums,
    stat: (name: keyof typeof VALUE_STATS) => sums[VALUE_STATS[name]],
  };
}

/** The weight of each token: 1 / tokens where the mask is 1. */
function weightsOf(mask: readonly number[]): Float32Array {
  const tokens = mask.reduce((sum, m) => sum + m, 0);
  return Float32Array.from(mask, (m) => m / tokens);
}

for (
  const { name, options, input, expected } of casesOf<
    { clipRange: number },
    Record<"values" | "oldValues" | "returns" | "mask", number[][]>,
    { loss: number; clipFraction: number; dvalues: number[][] }
  >("valueLoss")
) {
  Deno.test(`valueLoss() agrees with case ${name}`, () =>
    withGpu(async (gpu) => {
      const { dvalues, stat } = await run(gpu, [{
        values: input.values.flat(),
        oldValues: input.oldValues.flat(),
        returns: input.returns.flat(),
        weights: weightsOf(input.mask.flat()),
      }], options);
      const tolerance = { atol: 1e-6, rtol: 1e-6 }; // sums of a few numbers near 1
      const { loss, clipFraction } = expected;
      assertClose([stat("valueLoss"), stat("clipFraction")], [loss, clipFraction], tolerance);
      assertClose(dvalues, expected.dvalues.flat(), tolerance, "dvalues");
    }));
}

for (const N of [1, 7, 65, 1009]) {
  Deno.test(`valueLoss() matches f64 at N = ${N}, masked tokens holding NaN`, () =>
    withGpu(async (gpu) => {
      const mask = Array.from({ length: N }, (_, n) => n % 5 === 3 ? 0 : 1);
      const numbers = (seed: number) => randn(N, seed).map((x, n) => mask[n] === 0 ? NaN : x);
      const batch = { values: numbers(1), oldValues: numbers(2), returns: numbers(3) };
      const options = { clipRange: 0.3, valueCoef: 0.1 };
      const { dvalues, stat } = await run(gpu, [{ ...batch, weights: weightsOf(mask) }], options);

      const expected = reference.valueLoss({ ...batch, mask }, options);
      const live = batch.values.filter((_, n) => mask[n] === 1);
      const meanSquare = live.reduce((sum, v) => sum + v * v / live.length, 0);
      const tolerance = { atol: 2e-6, rtol: 2e-6 }; // sums of a thousand f32 terms
      assertClose(dvalues, expected.dvalues, tolerance, "dvalues");
      assertClose(
        [
          stat("valueLoss"),
          stat("clipFraction"),
          stat("error"),
          stat("mean"),
          stat("meanSquare"),
          stat("weight"),
        ],
        [expected.loss, expected.clipFraction, expected.error, expected.mean, meanSquare, 1],
        tolerance,
        "statistics",
      );
    }));
}

Deno.test("valueLoss() of micro-batches adds up to that of the batch", () =>
  withGpu(async (gpu) => {
    const [values, oldValues, returns] = [1, 2, 3].map((seed) => randn(101, seed));
    const weights = new Float32Array(101).fill(1 / 101);
    const slice = (from: number, to: number): Batch => ({
      values: values.slice(from, to),
      oldValues: oldValues.slice(from, to),
      returns: returns.slice(from, to),
      weights: weights.slice(from, to),
    });
    const whole = await run(gpu, [slice(0, 101)]);
    const parts = await run(gpu, [slice(0, 3), slice(3, 64), slice(64, 101)]);
    assertClose(parts.sums, whole.sums, { atol: 1e-6, rtol: 1e-6 }); // another order of summation
    assertEquals(parts.dvalues, whole.dvalues); // of a token, the same bits in any batch
  }));

for (const key of ["values", "oldValues", "returns"] as const) {
  Deno.test(`valueLoss() does not hide NaN in ${key}`, () =>
    withGpu(async (gpu) => {
      const batch = { values: [1, 1], oldValues: [1, 1], returns: [2, 2], weights: [0.5, 0.5] };
      batch[key][1] = NaN;
      const { dvalues, stat } = await run(gpu, [batch]);
      assert(Number.isNaN(dvalues[1]) && Number.isFinite(dvalues[0]), `${dvalues}`);
      assert(Number.isNaN(stat("valueLoss")));
    }));
}

Deno.test("valueLoss() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const [two, three, dvalues, stats] = [2, 3, 2, 8].map((length) => gpu.empty([length]));
    const good = { values: two, oldValues: two, returns: two, weights: two, dvalues, stats };
    for (const key of ["oldValues", "returns", "weights", "dvalues", "stats"]) {
      const tensors = { ...good, [key]: three };
      assertThrows(
        () => valueLoss(gpu.record(), tensors, { clipRange: 0.2, valueCoef: 1 }),
        ShapeError,
      );
    }
    gpu.free(two, three, dvalues, stats);
  }));
