import { assert, assertEquals } from "@std/assert";
import type { Gpu, GpuOptions } from "../../kernels/runtime/mod.ts";
import { Gradients } from "../../model/gradients.ts";
import { ParameterLayout } from "../../model/params.ts";
import { AdamW } from "../../train/optimizer.ts";
import { ppoStep } from "../../train/ppo.ts";
import { assertClose } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { randomRun } from "../helpers/random_run.ts";
import { klEstimate } from "../reference/kl.ts";

/** 96 response tokens, of which a chunk of logits has at least 64. */
const WORKLOAD = {
  ...{ layers: 1, width: 32, heads: 2, vocabulary: 300 },
  ...{ prompt: 4, response: 24, batchSize: 4, miniBatchSize: 4, epochs: 2 },
};
const SETTINGS = { klMode: "loss", learningRate: 1e-2 } as const;

Deno.test("an update with its logits in two chunks is that with them in one", async () => {
  const updateWith = async (options: GpuOptions, chunks: number) => {
    const results = { stats: [] as number[], gradients: new Float32Array() };
    await withGpu(async (gpu: Gpu) => {
      using resources = new DisposableStack();
      const { run, prompts } = randomRun(gpu, resources, WORKLOAD, SETTINGS);
      assertEquals(run.policy.head.chunks(96).length, chunks);
      const { updates } = await ppoStep(run, prompts, { step: 0, learningRate: 1e-2 });
      results.stats = updates.flatMap((update) => Object.values(update).map(Number));
      results.gradients = await gpu.read(run.policy.grads!.get("wte.weight"));
    }, options);
    return results;
  };
  const [one, two] = [await updateWith({}, 1), await updateWith({ bindingBytes: 2 ** 17 }, 2)];
  const largest = one.gradients.reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
  assert(largest > 0);
  // The sums over tokens are taken in another order, and AdamW's first step makes much of it.
  assertClose(two.stats, one.stats, { atol: 1e-4, rtol: 1e-3 }, "statistics");
  assertClose(two.gradients, one.gradients, { atol: 1e-3 * largest }, "gradients");
});

Deno.test("an estimated KL in the loss is that to the reference", () =>
  withGpu(async (gpu) => {
    for (const klEstimator of ["k2", "k3", "abs"] as const) {
      using resources = new DisposableStack();
      const settings = { ...SETTINGS, klEstimator };
      const { run, prompts } = randomRun(gpu, resources, { ...WORKLOAD, epochs: 1 }, settings);
      await ppoStep(run, prompts, { step: 0, learningRate: 1e-2 }); // moves the policy away
      const { updates: [update], logprobs, refLogprobs } = await ppoStep(run, prompts, {
        step: 1,
        learningRate: 0,
      });
      const { kl } = klEstimate(klEstimator, flat(logprobs), flat(refLogprobs));
      const mean = kl.reduce((sum, value) => sum + value) / kl.length;
      assert(Math.abs(mean) > 1e-4, `${klEstimator} is ${mean}`);
      assertClose([update!.kl], [mean], { atol: 1e-5, rtol: 1e-4 }, klEstimator);
    }
  }));

function flat(rows: readonly ArrayLike<number>[]): number[] {
  return rows.flatMap((row) => Array.from(row));
}

Deno.test("AdamW.step() counts a matrix as 0 to which nothing was added", () =>
  withGpu(async (gpu) => {
    const layout = new ParameterLayout([{ name: "w", shape: [2, 3] }], gpu.bindingBytes);
    const [values, grads] = [layout.allocate(gpu, "values"), Gradients.allocate(gpu, layout)];
    using optimizer = new AdamW(gpu, layout);
    gpu.write(grads.get("w"), [1, 2, 3, 4, 5, 6]);
    const pass = gpu.record();
    grads.clear(pass);
    optimizer.step(pass, values, grads);
    pass.submit();
    assertEquals((await gpu.read(optimizer.norm))[0], 0);
    values.free(gpu);
    grads.free(gpu);
  }));
