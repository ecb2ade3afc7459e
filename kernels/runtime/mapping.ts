/**
 * Reading without the wait that Deno adds.
 *
 * WebGPU says that a buffer is mapped when the promise of `mapAsync` resolves. Deno waits for the GPU within that call,
 * and then sleeps for 10 ms before it resolves: meanwhile the buffer is mapped already, and can be read in the same turn.
 * As that is a detail of Deno's implementation, it is tried out on every device before it is relied on.
 */

const MAP_READ = 0x01;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;

/** A buffer to copy to and to read with {@linkcode mapped}. */
export function stagingBuffer(device: GPUDevice, size: number): GPUBuffer {
  const usage = MAP_READ | COPY_DST;
  // Deno ends the process if `getMappedRange` is the first to ask for the range of a buffer that was never mapped.
  const buffer = device.createBuffer({ label: "read", size, usage, mappedAtCreation: true });
  buffer.unmap();
  return buffer;
}

/**
 * The content of a staging buffer, once all that was submitted is done.
 *
 * @param atOnce What {@linkcode mapsAtOnce} found.
 */
export async function mapped(buffer: GPUBuffer, atOnce: boolean): Promise<ArrayBuffer> {
  const promise = buffer.mapAsync(MAP_READ);
  const range = atOnce ? rangeOf(buffer) : undefined;
  if (!range) { // or the promise says what is wrong
    await promise;
    return buffer.getMappedRange();
  }
  promise.catch(() => {}); // it may be destroyed by then
  await turn();
  return range;
}

/** Whether a buffer's range is there in the turn in which `mapAsync` is called, and with the right content. */
export async function mapsAtOnce(device: GPUDevice): Promise<boolean> {
  if (!("Deno" in globalThis)) return false;
  const numbers = Uint32Array.of(3, 1, 4, 15);
  const size = numbers.byteLength;
  const source = device.createBuffer({ label: "probe", size, usage: COPY_SRC | COPY_DST });
  const staging = stagingBuffer(device, size);
  device.queue.writeBuffer(source, 0, numbers);
  const encoder = device.createCommandEncoder({ label: "probe" });
  encoder.copyBufferToBuffer(source, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  const promise = staging.mapAsync(MAP_READ);
  const range = rangeOf(staging);
  const isRight = range !== undefined && String(new Uint32Array(range)) === String(numbers);
  await promise;
  for (const buffer of [source, staging]) buffer.destroy();
  return isRight;
}

function rangeOf(buffer: GPUBuffer): ArrayBuffer | undefined {
  try {
    return buffer.getMappedRange();
  } catch {
    return undefined; // it is not mapped yet
  }
}

/** Lets signals, timers and servers have their turn, as they would during a wait. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
