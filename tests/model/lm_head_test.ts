import { HalfMatrix, shrinkToHalf } from "../../kernels/half.ts";
import { Arena } from "../../kernels/runtime/mod.ts";
import { LmHead } from "../../model/lm_head.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/matmul.ts";

for (const [V, C] of [[1007, 48], [1005, 4], [3, 6]] as const) {
  Deno.test(`logits() and backward() of a head of ${V} x ${C} in 16 bits are the products`, () =>
    withGpu(async (gpu) => {
      const N = 5;
      using arena = new Arena(gpu, "test");
      const weight = randn(V * C, 1).map(Math.f16round);
      const [x, upstream] = [randn(N * C, 2), randn(N * V, 3)];
      const f32 = gpu.tensor(weight, [V, C]);
      const f16 = HalfMatrix.empty(gpu, [V, C], "test");
      const [hidden, dlogits] = [gpu.tensor(x, [N, C]), gpu.tensor(upstream, [N, V])];
      const dhidden = gpu.empty([N, C]);
      const head = new LmHead(arena, f16);

      const pass = gpu.record();
      shrinkToHalf(pass, { x: f32, out: f16 });
      const logits = head.logits(pass, hidden);
      head.backward(pass, { dlogits, hidden, dhidden });
      pass.submit();

      // Numbers below 2^-14 may become 0; sums of up to 1,007 products in f32.
      const tolerance = { atol: 1e-3 };
      const { out } = reference.matmul(x, weight, [N, V, C], { layout: "nt" });
      assertClose(await gpu.read(logits), out, tolerance, "logits");
      const { out: dx } = reference.matmul(upstream, weight, [N, C, V], { layout: "nn" });
      assertClose(await gpu.read(dhidden), dx, tolerance, "dhidden");
      gpu.free(f32, f16.halves, hidden, dlogits, dhidden);
    }));
}
