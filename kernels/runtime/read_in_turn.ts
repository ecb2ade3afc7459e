import type { Gpu } from "./gpu.ts";
import type { Tensor } from "./tensor.ts";

/** Most bytes of small tensors that are read at a time. */
const GROUP_BYTES = 2 ** 25;

/**
 * A reader for each tensor, for writing many of them to a file: called one after the other, in order and once.
 *
 * Tensors that follow each other are copied together, up to 32 MiB, since each wait for the GPU costs about
 * 12 ms in Deno; no more than that, or one larger tensor, is on the host at a time.
 */
export function readInTurn(
  gpu: Gpu,
  tensors: readonly Tensor[],
): (() => Promise<Float32Array<ArrayBuffer>>)[] {
  const ready = new Map<Tensor, Float32Array<ArrayBuffer>>();
  return groupsOf(tensors).flatMap((group) =>
    group.map((tensor) => async () => {
      if (!ready.has(tensor)) {
        const data = await gpu.readAll(group);
        group.forEach((member, i) => ready.set(member, data[i] as Float32Array<ArrayBuffer>));
      }
      const data = ready.get(tensor)!;
      ready.delete(tensor);
      return data;
    })
  );
}

/** The tensors in their order, in groups of at most `GROUP_BYTES` or of one. */
function groupsOf(tensors: readonly Tensor[]): Tensor[][] {
  const groups: Tensor[][] = [];
  let bytes = Infinity;
  for (const tensor of tensors) {
    bytes += tensor.bytes;
    if (bytes > GROUP_BYTES) {
      groups.push([]);
      bytes = tensor.bytes;
    }
    groups.at(-1)!.push(tensor);
  }
  return groups;
}
