import { multiplyAddChains, streamCopy } from "../kernels/peak.ts";
import type { Gpu, Pass } from "../kernels/runtime/mod.ts";

/** What an adapter does at most, measured. */
export interface AdapterPeaks {
  /** Multiply-adds in registers; one is two operations. */
  flopsPerSecond: number;
  /** Bytes read and written by a copy too large for caches. */
  bytesPerSecond: number;
}

/** Of each limit; rounds are short, so that on a busy machine some of them go undisturbed. */
const SECONDS = 0.5;
const ROUND_SECONDS = 0.01;
const COPIED_BYTES = 2 ** 26; // more than caches hold

/**
 * Measures the limits of an adapter, the best of rounds of some 10 ms: a busy machine makes them smaller all the same.
 *
 * Waits are timed on the host, so this holds where `onSubmittedWorkDone` waits within the call, as in Deno.
 */
export async function measurePeaks(gpu: Gpu): Promise<AdapterPeaks> {
  const elements = Math.min(COPIED_BYTES, gpu.bindingBytes) / 4;
  const tensors = {
    source: gpu.tensor(new Float32Array(elements)),
    copied: gpu.empty([elements]),
    factors: gpu.tensor([1, 1e-6]),
    out: gpu.empty([gpu.software ? 2 ** 12 : 2 ** 20, 4]),
  };
  const perSecond = async (record: (pass: Pass, repeats: number) => number) => {
    const { seconds: once } = await timed(gpu, (pass) => record(pass, 1)); // compiles
    let repeats = Math.max(1, Math.ceil(0.1 * ROUND_SECONDS / once));
    const end = performance.now() + 1000 * SECONDS;
    let best = 0;
    do {
      const { seconds, work } = await timed(gpu, (pass) => record(pass, repeats));
      best = Math.max(best, work / seconds);
      if (seconds < ROUND_SECONDS) {
        repeats = Math.ceil(repeats * Math.min(10, ROUND_SECONDS / seconds));
      }
    } while (performance.now() < end);
    return best;
  };
  const flopsPerSecond = await perSecond((pass, repeats) =>
    multiplyAddChains(pass, tensors, { rounds: 16 * repeats })
  );
  const bytesPerSecond = await perSecond((pass, repeats) => {
    for (let i = 0; i < repeats; i++) streamCopy(pass, tensors);
    return 8 * elements * repeats;
  });
  gpu.free(...Object.values(tensors));
  return { flopsPerSecond, bytesPerSecond };
}

/** Seconds until the GPU has done what was recorded, and what `record` returned. */
async function timed(
  gpu: Gpu,
  record: (pass: Pass) => number,
): Promise<{ seconds: number; work: number }> {
  const pass = gpu.record("peak");
  const work = record(pass);
  const start = performance.now();
  pass.submit();
  const done = gpu.device.queue.onSubmittedWorkDone(); // Deno waits in the call, then 10 ms more
  const seconds = (performance.now() - start) / 1000;
  await done;
  return { seconds, work };
}
