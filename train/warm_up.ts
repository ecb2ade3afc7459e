import type { Gpu } from "../kernels/runtime/mod.ts";
import { tune } from "../kernels/tune.ts";
import { type PlanInputs, planKernels } from "./plan.ts";
import type { Screen } from "./screen.ts";

/**
 * Makes a GPU ready for a run before it begins, so that its first step takes no longer than the others, and the bars that
 * follow are right about the end: measures the products and attentions whose fastest way is not known yet, and compiles all kernels.
 */
export async function warmUp(gpu: Gpu, inputs: PlanInputs, screen: Screen): Promise<void> {
  const { undecided } = await planKernels(inputs, gpu);
  if (undecided.length > 0) {
    for (const kind of undecided) gpu.tuning.choice(kind);
    using bar = screen.begin({ name: "measuring", unit: "kinds", total: undecided.length });
    await tune(gpu, (done) => bar.update(done));
  }
  const { kernels } = await planKernels(inputs, gpu);
  using bar = screen.begin({ name: "warm-up", unit: "kernels", total: kernels.length });
  for (const [index, [kernel, specialisation]] of kernels.entries()) {
    gpu.pipelines.pipeline(kernel, specialisation);
    bar.update(index + 1);
  }
}
