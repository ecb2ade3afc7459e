import { assertEquals } from "@std/assert";
import { Gradients } from "../../model/gradients.ts";
import { ParameterLayout } from "../../model/params.ts";
import { withGpu } from "../helpers/gpu.ts";

const SPECS = [
  { name: "added", shape: [2, 3] },
  { name: "overwritten", shape: [2, 3] },
  { name: "untouched", shape: [5, 13] },
  { name: "vector", shape: [7] },
];

Deno.test("after clear() everything is zero, whatever was there and whoever adds first", () =>
  withGpu(async (gpu) => {
    const grads = Gradients.allocate(gpu, new ParameterLayout(SPECS, gpu.bindingBytes));
    const dout = gpu.tensor([1, 2], [1, 2]);
    const x = gpu.tensor([3, 4, 5], [1, 3]);
    const product = [3, 4, 5, 6, 8, 10];
    for (const times of [1, 2]) {
      for (const { name } of SPECS) {
        gpu.write(grads.get(name), new Float32Array(grads.get(name).size).fill(NaN));
      }
      const pass = gpu.record();
      grads.clear(pass);
      const added = grads.accumulator(pass, "added");
      assertEquals(grads.target("added").accumulate, true); // it was just zeroed
      for (let time = 0; time < times; time++) grads.addProduct(pass, "overwritten", { dout, x });
      pass.submit();
      // A matrix to which nothing is added costs nothing until it is to be read.
      assertEquals((await gpu.read(grads.get("untouched"))).every(Number.isNaN), true);
      const settling = gpu.record();
      grads.settle(settling);
      settling.submit();
      const numbers = async (name: string) => [...await gpu.read(grads.get(name))];
      assertEquals([...await gpu.read(added)], Array(6).fill(0));
      assertEquals(await numbers("overwritten"), product.map((value) => times * value));
      assertEquals(await numbers("untouched"), Array(65).fill(0));
      assertEquals(await numbers("vector"), Array(7).fill(0));
    }
    grads.free(gpu);
    gpu.free(dout, x);
  }));

Deno.test("what nothing cleared is added to", () =>
  withGpu(async (gpu) => {
    const grads = Gradients.allocate(gpu, new ParameterLayout(SPECS, gpu.bindingBytes));
    const before = [1, 1, 1, 1, 1, 1];
    gpu.write(grads.get("overwritten"), before);
    const [dout, x] = [gpu.tensor([1, 2], [1, 2]), gpu.tensor([3, 4, 5], [1, 3])];
    const pass = gpu.record();
    grads.addProduct(pass, "overwritten", { dout, x });
    grads.settle(pass);
    pass.submit();
    assertEquals([...await gpu.read(grads.get("overwritten"))], [4, 5, 6, 7, 9, 11]);
    grads.free(gpu);
    gpu.free(dout, x);
  }));
