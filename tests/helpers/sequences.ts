import type { Sequences } from "../../kernels/attention.ts";
import type { Gpu } from "../../kernels/runtime/mod.ts";

/** B sequences of T tokens each. */
export function evenSequences(gpu: Gpu, B: number, T: number): Sequences {
  const bounds = Array.from({ length: B }, (_, b) => [b * T, (b + 1) * T]).flat();
  return { bounds: gpu.tensor(bounds, [B, 2], "u32"), lengths: Array(B).fill(T) };
}
