import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { multiplyAddChains, streamCopy } from "../../kernels/peak.ts";
import { ShapeError } from "../../kernels/runtime/mod.ts";
import { withGpu } from "../helpers/gpu.ts";

Deno.test("multiplyAddChains() takes every step that it counts", () =>
  withGpu(async (gpu) => {
    const factors = gpu.tensor([1, 0.25]); // sums of quarters are exact
    const out = gpu.empty([128, 4]);
    const pass = gpu.record();
    const flops = multiplyAddChains(pass, { factors, out }, { rounds: 3 });
    pass.submit();
    assertEquals(flops, 128 * 3 * 96 * 2);
    const values = await gpu.read(out);
    for (const row of [0, 1, 63, 64, 127]) {
      const first = row % 64; // then a quarter and two quarters more, and 24 steps of each chain
      assertAlmostEquals(values[4 * row], 3 * first + 0.75 + 3 * 24 * 0.25, 1e-6);
    }
    gpu.free(factors, out);
  }));

Deno.test("streamCopy() copies everything and nothing else", () =>
  withGpu(async (gpu) => {
    const size = 4 * (8 * 64 + 67);
    const source = gpu.tensor(Float32Array.from({ length: size }, (_, i) => i));
    const whole = gpu.tensor(new Float32Array(size + 64).fill(-1));
    const pass = gpu.record();
    streamCopy(pass, { source, copied: whole.rows(0, size) });
    pass.submit();
    const copied = await gpu.read(whole);
    assertEquals(copied.slice(0, size), await gpu.read(source));
    assertEquals(copied.slice(size), new Float32Array(64).fill(-1));
    gpu.free(source, whole);
  }));

Deno.test("the kernels of the peaks refuse shapes that they do not take", () =>
  withGpu((gpu) => {
    const [three, eight] = [gpu.empty([3]), gpu.empty([8])];
    const pass = gpu.record();
    assertThrows(() => streamCopy(pass, { source: three, copied: three }), ShapeError);
    assertThrows(() => streamCopy(pass, { source: eight, copied: three }), ShapeError);
    const factors = gpu.empty([2]);
    assertThrows(() => multiplyAddChains(pass, { factors, out: eight }, { rounds: 1 }), ShapeError);
    gpu.free(three, eight, factors);
  }));
