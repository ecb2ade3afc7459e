import { assertEquals, assertThrows } from "@std/assert";
import { matmul } from "../../kernels/matmul.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/matmul.ts";

const LAYOUTS = ["nn", "nt", "tn"] as const;

/** Rounding of a sum of `depth` products of standard normal numbers, in the worst of many elements. */
const rounding = (depth: number) => ({ atol: 3e-6 * Math.sqrt(depth) });

function shapes(layout: "nn" | "nt" | "tn", [m, n, k]: readonly [number, number, number]) {
  return {
    a: layout === "tn" ? [k, m] : [m, k],
    b: layout === "nt" ? [n, k] : [k, n],
  };
}

async function checkProduct(
  gpu: Gpu,
  layout: "nn" | "nt" | "tn",
  sizes: readonly [number, number, number],
): Promise<void> {
  const [m, n, k] = sizes;
  const a = randn(m * k, 1);
  const b = randn(k * n, 2);
  const shape = shapes(layout, sizes);
  const tensors = {
    a: gpu.tensor(a, shape.a),
    b: gpu.tensor(b, shape.b),
    out: gpu.empty([m, n]),
  };
  const pass = gpu.record();
  matmul(pass, tensors, { layout });
  pass.submit();
  assertClose(
    await gpu.read(tensors.out),
    reference.matmul(a, b, sizes, { layout }).out,
    rounding(k),
    `${layout} ${sizes}`,
  );
  gpu.free(tensors.a, tensors.b, tensors.out);
}

for (const layout of LAYOUTS) {
  Deno.test(`matmul() ${layout} is the product at awkward sizes`, () =>
    withGpu(async (gpu) => {
      for (
        const sizes of [
          [1, 1, 1],
          [1, 48, 4],
          [2, 3, 5],
          [7, 36, 12],
          [8, 32, 16],
          [9, 50, 17],
          [17, 68, 100],
          [31, 33, 15],
          [32, 64, 16],
          [33, 144, 48],
          [64, 64, 32],
          [65, 65, 65],
          [100, 4, 192],
          [128, 192, 28],
        ] as const
      ) {
        await checkProduct(gpu, layout, sizes);
      }
    }));
}

Deno.test("matmul() gives a row the same bits in a batch of any size", () =>
  withGpu(async (gpu) => {
    const [rows, n, k] = [70, 96, 192];
    for (const layout of ["nn", "nt"] as const) {
      const shape = shapes(layout, [rows, n, k]);
      const a = gpu.tensor(randn(rows * k, 3), shape.a);
      const b = gpu.tensor(randn(k * n, 4), shape.b);
      const out = gpu.empty([rows, n]);
      const product = async (count: number) => {
        const pass = gpu.record();
        matmul(pass, { a: a.rows(0, count), b, out: out.rows(0, count) }, { layout });
        pass.submit();
        return await gpu.read(out.rows(0, count));
      };
      const all = await product(rows);
      for (const count of [1, 2, 8, 9, 16, 17, 32, 64]) {
        assertEquals(await product(count), all.subarray(0, count * n), `${layout}, ${count} rows`);
      }
      gpu.free(a, b, out);
    }
  }));

Deno.test("matmul() refuses shapes that do not fit", () =>
  withGpu((gpu) => {
    const a = gpu.empty([4, 8]);
    const b = gpu.empty([8, 12]);
    const out = gpu.empty([4, 12]);
    const pass = gpu.record();
    for (
      const [tensors, options] of [
        [{ a, b, out }, { layout: "nt" }],
        [{ a, b, out }, { layout: "tn" }],
        [{ a, b: a, out }, {}],
        [{ a, b, out: a }, {}],
        [{ a, b, out, bias: a }, {}],
        [{ a, b, out, residual: b }, {}],
        [{ a, b, out, preactivation: b }, {}],
        [{ a, b, out, bias: b.rows(0, 1) }, { accumulate: true }],
      ] as const
    ) {
      assertThrows(() => matmul(pass, tensors, options), ShapeError, "Cannot run matmul");
    }
    gpu.free(a, b, out);
  }));
