import type { Gpu } from "./gpu.ts";
import type { PlannedKernel } from "./pipelines.ts";

/** Each takes some 200 MB of the host's memory while it compiles, which should not add up. */
const MOST_DEVICES = 4;

/**
 * Compiles kernels to the end, before they are first used.
 *
 * A driver that computes on the CPU compiles with one thread for each device, some tenths of a second a kernel. So there
 * the kernels are dealt out to as many devices as there are cores, four at most, and then taken over by this one: from the
 * driver's cache on disk, where it finds what another has compiled. Without such a cache nothing is gained, and no time
 * lost.
 *
 * @param compiled Hears how many are compiled, or on their way.
 */
export async function compileKernels(
  gpu: Gpu,
  kernels: readonly PlannedKernel[],
  compiled: (count: number) => void = () => {},
): Promise<void> {
  if (kernels.length === 0) return;
  using resources = new DisposableStack();
  const devices = [gpu];
  const wanted = Math.min(MOST_DEVICES, navigator.hardwareConcurrency, kernels.length);
  while (gpu.software && devices.length < wanted) {
    const other = await gpu.another().catch(() => undefined); // one will do
    if (!other) break;
    devices.push(resources.use(other));
  }
  // The longest first, so that all devices come to an end at about the same time.
  const longestFirst = kernels.toSorted(([a], [b]) => b.code.length - a.code.length);
  for (const [index, [kernel, specialisation]] of longestFirst.entries()) {
    devices[index % devices.length]!.pipelines.warm(kernel, specialisation);
    compiled(index + 1);
  }
  // One after another: Deno waits within the call.
  for (const { device } of devices) await device.queue.onSubmittedWorkDone();
  const others = longestFirst.filter((_, index) => index % devices.length > 0);
  if (others.length === 0) return;
  for (const [kernel, specialisation] of others) gpu.pipelines.warm(kernel, specialisation);
  await gpu.device.queue.onSubmittedWorkDone();
}
