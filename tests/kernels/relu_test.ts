import { assertEquals, assertThrows } from "@std/assert";
import { reluBackward, reluForward } from "../../kernels/relu.ts";
import { ShapeError } from "../../kernels/runtime/mod.ts";
import { randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { relu, reluDerivative } from "../reference/relu.ts";

for (const size of [1, 63, 64, 65, 257]) {
  Deno.test(`reluForward() and reluBackward() are exact for ${size} elements, and leave the next alone`, () =>
    withGpu(async (gpu) => {
      const inputs = randn(size + 3, 1);
      // The least is not subnormal: adapters may take such a number for 0.
      inputs.set([0, -0, 3e38, -3e38, 2e-38].slice(0, size));
      const upstream = randn(size + 3, 2);
      const x = gpu.tensor(inputs);
      const dout = gpu.tensor(upstream);
      const pass = gpu.record();
      const part = { x: x.rows(0, size), dout: dout.rows(0, size) };
      reluForward(pass, part);
      reluBackward(pass, { out: part.x, dout: part.dout });
      pass.submit();
      const inside = (i: number) => i < size;
      const expected = inputs.map((xi, i) => inside(i) ? relu(xi) : xi);
      const gradient = upstream.map((di, i) => inside(i) ? di * reluDerivative(inputs[i]) : di);
      // Negative zeros count as zeros.
      assertEquals((await gpu.read(x)).map((xi) => xi + 0), expected.map((xi) => xi + 0));
      assertEquals((await gpu.read(dout)).map((di) => di + 0), gradient.map((di) => di + 0));
      gpu.free(x, dout);
    }));
}

Deno.test("reluForward() keeps NaN", () =>
  withGpu(async (gpu) => {
    const x = gpu.tensor(Float32Array.of(NaN, -1));
    const pass = gpu.record();
    reluForward(pass, { x });
    pass.submit();
    assertEquals(await gpu.read(x), Float32Array.of(NaN, 0));
    gpu.free(x);
  }));

Deno.test("reluForward() folds more than 65,535 workgroups", () =>
  withGpu(async (gpu) => {
    const size = 65_536 * 64 + 5;
    const x = gpu.tensor(new Float32Array(size).fill(-1));
    const pass = gpu.record();
    reluForward(pass, { x });
    pass.submit();
    assertEquals((await gpu.read(x)).every((xi) => xi === 0), true);
    gpu.free(x);
  }));

Deno.test("reluForward() and reluBackward() refuse shapes that do not fit", () =>
  withGpu((gpu) => {
    const [out, dout] = [gpu.empty([2, 3]), gpu.empty([2, 4])];
    const pass = gpu.record();
    assertThrows(() => reluBackward(pass, { out, dout }), ShapeError);
    assertThrows(() => reluForward(pass, { x: dout.columns(0, 2) }), ShapeError);
    gpu.free(out, dout);
  }));
