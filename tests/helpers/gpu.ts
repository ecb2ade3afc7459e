import { Gpu, type GpuOptions } from "../../kernels/runtime/mod.ts";

/** Whether tests may use subgroup operations; the suite runs once with and once without. */
const subgroups = Deno.env.get("KL_GUARD_SUBGROUPS") !== "off";

/**
 * Runs a test on a fresh {@linkcode Gpu}, and fails it on a validation error or on memory that was not freed.
 */
export async function withGpu(
  test: (gpu: Gpu) => Promise<void> | void,
  options: GpuOptions = {},
): Promise<void> {
  using gpu = await Gpu.open({ subgroups, ...options });
  await test(gpu);
  await gpu.device.queue.onSubmittedWorkDone();
  gpu.check();
  if (gpu.liveBytes !== 0) throw new Error(`${gpu.liveBytes} bytes of GPU memory were not freed`);
}
