import type { Gpu } from "./gpu.ts";
import { groupsWithin } from "./groups.ts";
import type { Dtype, HostArray, Tensor } from "./tensor.ts";

/** Most bytes of small tensors that are read at a time. */
const GROUP_BYTES = 2 ** 25;

/**
 * A reader for each tensor, for writing many of them to a file: called one after the other, in order and once.
 *
 * Tensors that follow each other are copied together, up to 32 MiB, since each read waits for the GPU; no more
 * than that, or one larger tensor, is on the host at a time.
 */
export function readInTurn<D extends Dtype>(
  gpu: Gpu,
  tensors: readonly Tensor<D>[],
): (() => Promise<HostArray<D>>)[] {
  const ready = new Map<Tensor<D>, HostArray<D>>();
  const groups = groupsWithin(tensors, { most: GROUP_BYTES, sizeOf: ({ bytes }) => bytes });
  return groups.flatMap((group) =>
    group.map((tensor) => async () => {
      if (!ready.has(tensor)) {
        const data = await gpu.readAll(group);
        group.forEach((member, i) => ready.set(member, data[i] as HostArray<D>));
      }
      const data = ready.get(tensor)!;
      ready.delete(tensor);
      return data;
    })
  );
}
