import { assertEquals, assertThrows } from "@std/assert";
import { geluBackward, geluForward, type GeluKind } from "../../kernels/gelu.ts";
import { matmul } from "../../kernels/matmul.ts";
import { ShapeError } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { geluExact, geluNew } from "../reference/gelu.ts";

const KINDS: [GeluKind, (x: number) => number][] = [["gelu_new", geluNew], ["gelu", geluExact]];

/** Every 1/64 from -12 to 12, and numbers whose cube or exponential overflows f32: 1,543 in all. */
const inputs = Float32Array.from([
  ...Array.from({ length: 24 * 64 + 1 }, (_, i) => i / 64 - 12),
  ...[-3e38, -1e13, -100, 100, 1e13, 3e38],
]);

for (const [kind, gelu] of KINDS) {
  Deno.test(`geluForward() matches f64 for ${kind}, however large the input`, () =>
    withGpu(async (gpu) => {
      const x = gpu.tensor(inputs);
      const out = gpu.empty([inputs.length]);
      const pass = gpu.record();
      geluForward(pass, { x, out }, { kind });
      pass.submit();
      // erf is good to 2e-7 and exp(-2u) to a few roundings of u; both are multiplied by x.
      const tolerance = { atol: 1e-6, rtol: 1e-6 };
      assertClose(await gpu.read(out), Array.from(inputs, gelu), tolerance);
      gpu.free(x, out);
    }));

  Deno.test(`geluBackward() multiplies by the derivative of ${kind}`, () =>
    withGpu(async (gpu) => {
      const upstream = randn(inputs.length, 1);
      const x = gpu.tensor(inputs);
      const dout = gpu.tensor(upstream);
      const pass = gpu.record();
      geluBackward(pass, { x, dout }, { kind });
      pass.submit();
      const h = 1e-5;
      const slope = (xi: number) =>
        Math.abs(xi) > 50 ? Number(xi > 0) : (gelu(xi + h) - gelu(xi - h)) / (2 * h);
      const expected = Array.from(inputs, (xi, i) => upstream[i] * slope(xi));
      assertClose(await gpu.read(dout), expected, { atol: 2e-6, rtol: 1e-6 }); // as above, times x
      gpu.free(x, dout);
    }));
}

for (const [kind] of KINDS) {
  Deno.test(`${kind} does not hide NaN, forward, backward and after a product`, () =>
    withGpu(async (gpu) => {
      const numbers = [NaN, 1, NaN, -20, 20, NaN, -1, 0];
      const x = gpu.tensor(numbers, [1, 8]);
      const dout = gpu.tensor(Array(8).fill(1), [1, 8]);
      const [out, product] = [gpu.empty([1, 8]), gpu.empty([1, 8])];
      const [one, row] = [gpu.tensor([1], [1, 1]), gpu.tensor(numbers, [1, 8])];
      const pass = gpu.record();
      geluForward(pass, { x, out }, { kind });
      geluBackward(pass, { x, dout }, { kind });
      matmul(pass, { a: one, b: row, out: product }, { activation: kind });
      pass.submit();
      for (const result of [out, dout, product]) {
        assertEquals([...await gpu.read(result)].map(Number.isNaN), numbers.map(Number.isNaN));
      }
      gpu.free(x, dout, out, product, one, row);
    }));
}

Deno.test("geluForward() and geluBackward() leave what lies past the end alone", () =>
  withGpu(async (gpu) => {
    for (const length of [1, 2, 3, 5, 255, 257]) {
      const x = gpu.tensor(new Float32Array(length + 3).fill(1));
      const out = gpu.tensor(new Float32Array(length + 3).fill(2));
      const pass = gpu.record();
      const part = { x: x.rows(0, length), out: out.rows(0, length) };
      geluForward(pass, part, { kind: "gelu" });
      geluBackward(pass, { x: part.x, dout: part.out }, { kind: "gelu" });
      pass.submit();
      const after = await gpu.read(out);
      assertEquals(Array.from(after.subarray(length)), [2, 2, 2]);
      assertEquals(after[0] !== 2 && after.subarray(0, length).every((y) => y === after[0]), true);
      gpu.free(x, out);
    }
  }));

Deno.test("geluForward() folds more than 65,535 workgroups", () =>
  withGpu(async (gpu) => {
    const size = 65_536 * 256 + 4;
    const x = gpu.tensor(Float32Array.from({ length: size }, (_, i) => i / size));
    const out = gpu.empty([size]);
    const pass = gpu.record();
    geluForward(pass, { x, out }, { kind: "gelu_new" });
    pass.submit();
    const last = await gpu.read(out.rows(size - 64 * 1024 - 4, size));
    const expected = Array.from(last, (_, i) => geluNew((size - last.length + i) / size));
    assertClose(last, expected, { atol: 1e-6 });
    gpu.free(x, out);
  }));

Deno.test("geluForward() and geluBackward() refuse tensors of other shapes", () =>
  withGpu((gpu) => {
    const [x, other] = [gpu.empty([2, 3]), gpu.empty([2, 4])];
    const pass = gpu.record();
    const kind = "gelu";
    assertThrows(() => geluForward(pass, { x, out: other }, { kind }), ShapeError);
    assertThrows(() => geluBackward(pass, { x, dout: other }, { kind }), ShapeError);
    gpu.free(x, other);
  }));
