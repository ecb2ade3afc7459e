import { assertThrows } from "@std/assert";
import { softmaxBackward, softmaxForward } from "../../kernels/softmax.ts";
import { ShapeError } from "../../kernels/runtime/mod.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { softmax } from "../reference/softmax.ts";

const CASES = [
  { N: 3, C: 1, scale: 1 },
  { N: 5, C: 7, scale: 1 },
  { N: 2, C: 257, scale: 1 },
  { N: 2, C: 68, scale: 1 }, // vec4 rows
  { N: 2, C: 64, scale: 1e4 }, // exp() would overflow without the shift
  { N: 65_537, C: 2, scale: 1 }, // folded
];

for (const { N, C, scale } of CASES) {
  const x = randn(N * C, 1).map((xi) => xi * scale);

  Deno.test(`softmaxForward() matches f64 at (${N}, ${C}) x ${scale}`, () =>
    withGpu(async (gpu) => {
      const tensors = { x: gpu.tensor(x, [N, C]), out: gpu.empty([N, C]) };
      const pass = gpu.record();
      softmaxForward(pass, tensors);
      pass.submit();
      assertClose(await gpu.read(tensors.out), softmax(x, C), { atol: 1e-7, rtol: 2e-6 }); // exp()
      gpu.free(...Object.values(tensors));
    }));

  Deno.test(`softmaxBackward() gives the gradient at (${N}, ${C}) x ${scale}`, () =>
    withGpu(async (gpu) => {
      const upstream = randn(N * C, 2);
      const tensors = {
        x: gpu.tensor(x, [N, C]),
        out: gpu.empty([N, C]),
        dout: gpu.tensor(upstream, [N, C]),
        dx: gpu.empty([N, C]),
      };
      const pass = gpu.record();
      softmaxForward(pass, tensors);
      softmaxBackward(pass, tensors);
      pass.submit();

      const probed = Math.min(N, 3); // rows; each has its own gradient
      const loss = (at: Float64Array) =>
        softmax(at, C).reduce((sum, p, i) => sum + p * upstream[i], 0);
      const expected = numericGradient(loss, x.subarray(0, probed * C));
      const dx = (await gpu.read(tensors.dx)).subarray(0, probed * C);
      assertClose(dx, expected, { atol: 1e-6, rtol: 1e-5 }); // probabilities times numbers of size 1
      gpu.free(...Object.values(tensors));
    }));
}

Deno.test("softmaxForward() and softmaxBackward() refuse tensors of other shapes", () =>
  withGpu((gpu) => {
    const [good, wrong] = [gpu.empty([2, 3]), gpu.empty([2, 4])];
    const pass = gpu.record();
    assertThrows(() => softmaxForward(pass, { x: good, out: wrong }), ShapeError);
    const tensors = { out: good, dout: good, dx: good };
    for (const name of ["dout", "dx"]) {
      assertThrows(() => softmaxBackward(pass, { ...tensors, [name]: wrong }), ShapeError, name);
    }
    assertThrows(() => softmaxForward(pass, { x: wrong.columns(0, 3), out: good }), ShapeError);
    gpu.free(good, wrong);
  }));
