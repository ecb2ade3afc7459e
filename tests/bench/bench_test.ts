import { assertAlmostEquals, assertEquals } from "@std/assert";
import { configOf, randomRun } from "../helpers/random_run.ts";
import { withGpu } from "../helpers/gpu.ts";
import { profileDispatches, profileSteps } from "../../train/step_profile.ts";
import { stepArithmetic } from "./arithmetic.ts";
import { comparisonRows } from "./bench_result.ts";
import { median } from "../../train/stats.ts";
import { digits, exponent, markdownTable } from "./figures.ts";
import workloads from "./workloads.json" with { type: "json" };

Deno.test("exponent() finds the power of a curve, and is moved by fixed costs as a fit is", () => {
  const xs = [1, 2, 4, 8];
  assertAlmostEquals(exponent(xs.map((x) => ({ x, y: 3 * x ** 1.5 }))), 1.5, 1e-12);
  assertAlmostEquals(exponent(xs.map((x) => ({ x, y: 7 }))), 0, 1e-12);
  const withFixedCost = xs.map((x) => ({ x, y: 10 + x }));
  assertEquals(exponent(withFixedCost) < exponent(withFixedCost.slice(-2)), true);
});

Deno.test("median(), digits() and markdownTable()", () => {
  assertEquals([median([3, 1, 2]), median([4, 1])], [2, 4]);
  assertEquals([0.012345, 1234.5, 7].map(digits), ["0.0123", "1230", "7"]);
  assertEquals(markdownTable(["a", "bc"], [["long", "1"]]), [
    "| a    |  bc |",
    "| ---- | --: |",
    "| long |   1 |",
  ]);
});

Deno.test("comparisonRows() has a row for every figure that both have", () => {
  const result = (seconds: number, rows: number) => ({
    name: "small",
    adapter: { description: "" },
    step: { seconds, phases: { update: { seconds: seconds / 2 }, score: { seconds: 1e-5 } } },
    generation: [{ rows, tokensPerSecond: 10 / seconds }],
  });
  const ours = [result(1, 1), { ...result(1, 1), name: "gpt2" }];
  assertEquals(comparisonRows(ours, [result(4, 1)]), [
    ["small, step", "1 s", "4 s", "4 x"],
    ["small, update", "0.5 s", "2 s", "4 x"],
    ["small, generation at batch 1", "10 tokens/s", "2.5 tokens/s", "4 x"],
  ]);
  assertEquals(comparisonRows(ours, [result(4, 16)]).length, 2);
});

Deno.test("the workloads of the benches are possible models", () => {
  for (const workload of Object.values(workloads)) {
    assertEquals(configOf(workload).nEmbd % workload.heads, 0);
    assertEquals(workload.batchSize % workload.miniBatchSize, 0);
  }
});

Deno.test("stepArithmetic() is what the kernels of a step say that they do", () =>
  withGpu(async (gpu) => {
    const workload = {
      layers: 2,
      width: 64,
      heads: 2,
      vocabulary: 256,
      prompt: 4,
      response: 12,
      batchSize: 2,
      miniBatchSize: 2,
      epochs: 1,
    };
    using resources = new DisposableStack();
    const { run, prompts } = randomRun(gpu, resources, workload);
    await profileSteps(run, () => prompts, { steps: 1, warmUp: 1 });
    const { dispatches } = await profileDispatches(run, prompts, { step: 2 });
    const counted = dispatches.reduce((sum, { flops }) => sum + flops, 0);
    const { generate, forward, update } = stepArithmetic(workload);
    // The kernels count keys that causality masks and the cache's free places, and compute attention again in backward.
    assertAlmostEquals(counted / (generate + forward + update), 1, 0.1);
  }, { timestamps: true }));
