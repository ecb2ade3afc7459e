import { compileKernels, type Gpu } from "../kernels/runtime/mod.ts";
import { tune } from "../kernels/tune.ts";
import { type PlanInputs, planKernels } from "./plan.ts";
import type { Screen } from "./screen.ts";

/**
 * Makes a GPU ready for a run before it begins, so that its first step takes no longer than the others, and the bars that
 * follow are right about the end: measures the products and attentions whose fastest way is not known yet, and compiles
 * all kernels.
 *
 * @returns Whether there was something to measure.
 */
export async function warmUp(gpu: Gpu, inputs: PlanInputs, screen: Screen): Promise<boolean> {
  const { undecided: kinds, ...usual } = await planKernels(inputs, gpu);
  if (kinds.length > 0) {
    using bar = screen.begin({ name: "measuring", unit: "kinds", total: kinds.length });
    await tune(gpu, { kinds, measured: (done) => bar.update(done) });
  }
  const { kernels } = kinds.length > 0 ? await planKernels(inputs, gpu) : usual;
  using bar = screen.begin({ name: "warm-up", unit: "kernels", total: kernels.length });
  await compileKernels(gpu, kernels, (count) => bar.update(count));
  return kinds.length > 0;
}
