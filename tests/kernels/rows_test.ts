import { assertEquals, assertThrows } from "@std/assert";
import { gatherRows, scatterRows } from "../../kernels/rows.ts";
import { ShapeError } from "../../kernels/runtime/mod.ts";
import { randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { gather } from "../reference/embedding.ts";

const CASES = [
  { M: 1, N: 1, C: 1 },
  { M: 13, N: 5, C: 257 },
  { M: 13, N: 7, C: 68 }, // vec4 rows
  { M: 65_600, N: 65_537, C: 2 }, // folded
];

for (const { M, N, C } of CASES) {
  const index = Uint32Array.from({ length: N }, (_, n) => M - 1 - n); // distinct, the last row among them

  Deno.test(`gatherRows() copies rows of (${M}, ${C})`, () =>
    withGpu(async (gpu) => {
      const x = randn(M * C, 1);
      const twice = [...index, ...index]; // a row may be wanted more than once
      const tensors = {
        source: gpu.tensor(x, [M, C]),
        index: gpu.tensor(twice, [2 * N], "u32"),
        out: gpu.empty([2 * N, C]),
      };
      const pass = gpu.record();
      gatherRows(pass, tensors);
      pass.submit();
      assertEquals(Array.from(await gpu.read(tensors.out)), gather(x, twice, C));
      gpu.free(...Object.values(tensors));
    }));

  Deno.test(`scatterRows() overwrites rows of (${M}, ${C}) and no others`, () =>
    withGpu(async (gpu) => {
      const [x, before] = [randn(N * C, 1), randn(M * C, 2)];
      const tensors = {
        source: gpu.tensor(x, [N, C]),
        index: gpu.tensor(index, [N], "u32"),
        out: gpu.tensor(before, [M, C]),
      };
      const pass = gpu.record();
      scatterRows(pass, tensors);
      pass.submit();
      const expected = before.slice();
      index.forEach((row, n) => expected.set(x.subarray(n * C, (n + 1) * C), row * C));
      assertEquals(await gpu.read(tensors.out), expected);
      gpu.free(...Object.values(tensors));
    }));
}

Deno.test("gatherRows() copies rows of a view of columns", () =>
  withGpu(async (gpu) => {
    const x = randn(5 * 12, 1);
    const [index, whole] = [gpu.tensor([4, 0], [2], "u32"), gpu.tensor(x, [5, 12])];
    for (const C of [7, 8]) { // element by element, and as vectors
      const out = gpu.empty([2, C]);
      const pass = gpu.record();
      gatherRows(pass, { source: whole.columns(0, C), index, out });
      pass.submit();
      assertEquals(
        await gpu.read(out),
        new Float32Array([...x.slice(48, 48 + C), ...x.slice(0, C)]),
      );
      gpu.free(out);
    }
    gpu.free(index, whole);
  }));

Deno.test("gatherRows() and scatterRows() refuse tensors of other shapes", () =>
  withGpu((gpu) => {
    const [five, two, wrong] = [gpu.empty([5, 3]), gpu.empty([2, 3]), gpu.empty([2, 4])];
    const [index, other] = [gpu.empty([2], "u32"), gpu.empty([3], "u32")];
    const pass = gpu.record();
    assertThrows(() => gatherRows(pass, { source: five, index: other, out: two }), ShapeError);
    assertThrows(() => gatherRows(pass, { source: five, index, out: wrong }), ShapeError);
    assertThrows(() => scatterRows(pass, { source: two, index: other, out: five }), ShapeError);
    assertThrows(() => scatterRows(pass, { source: wrong, index, out: five }), ShapeError);
    gpu.free(five, two, wrong, index, other);
  }));
