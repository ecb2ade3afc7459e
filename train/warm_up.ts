import type { Gpu } from "../kernels/runtime/mod.ts";
import { type PlanInputs, planKernels } from "./plan.ts";
import type { Screen } from "./screen.ts";

/**
 * Compiles the kernels of a run before it begins, so that its first step takes no longer than the others, and the bars
 * that follow are right about the end.
 */
export async function warmUp(gpu: Gpu, inputs: PlanInputs, screen: Screen): Promise<void> {
  const kernels = await planKernels(inputs, gpu);
  using bar = screen.begin({ name: "warm-up", unit: "kernels", total: kernels.length });
  for (const [index, [kernel, specialisation]] of kernels.entries()) {
    gpu.pipelines.pipeline(kernel, specialisation);
    bar.update(index + 1);
  }
}
