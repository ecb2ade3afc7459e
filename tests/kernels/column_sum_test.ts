import { assertEquals, assertThrows } from "@std/assert";
import { columnSum, columnSumPartials } from "../../kernels/column_sum.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/layer_norm.ts";

const CASES = [
  { N: 1, C: 1 },
  { N: 17, C: 7 }, // two partial sums, the second shorter
  { N: 66, C: 36 }, // more shares than there are rows for
  { N: 1031, C: 257 },
  { N: 1031, C: 260 }, // vec4 rows
];

async function run(gpu: Gpu, x: Float32Array, before: Float32Array): Promise<Float32Array> {
  const C = before.length;
  const N = x.length / C;
  const tensors = {
    x: gpu.tensor(x, [N, C]),
    out: gpu.tensor(before),
    partials: gpu.empty([columnSumPartials(N), C]),
  };
  const pass = gpu.record();
  columnSum(pass, tensors);
  pass.submit();
  const out = await gpu.read(tensors.out);
  gpu.free(...Object.values(tensors));
  return out;
}

for (const { N, C } of CASES) {
  Deno.test(`columnSum() adds the sum of the rows at (${N}, ${C}), the same bits each time`, () =>
    withGpu(async (gpu) => {
      const [x, before] = [randn(N * C, 1), randn(C, 2)];
      const out = await run(gpu, x, before);
      const expected = reference.columnSum(x, C).map((sum, c) => sum + before[c]);
      assertClose(out, expected, { atol: 1e-6 * (1 + Math.sqrt(N)) }); // roundings add up like a walk
      assertEquals(await run(gpu, x, before), out);
    }));
}

Deno.test("columnSum() refuses tensors of other shapes", () =>
  withGpu((gpu) => {
    const [x, out, partials] = [gpu.empty([17, 4]), gpu.empty([4]), gpu.empty([2, 4])];
    const pass = gpu.record();
    assertThrows(() => columnSum(pass, { x, out: partials, partials }), ShapeError, "out");
    assertThrows(() => columnSum(pass, { x, out, partials: x }), ShapeError, "partials");
    assertThrows(() => columnSum(pass, { x: x.columns(0, 3), out, partials }), ShapeError, "gaps");
    gpu.free(x, out, partials);
  }));
