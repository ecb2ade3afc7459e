/** What a {@linkcode Gpu} was asked to do since it was opened; counting costs nothing, so it is always on. */
export interface GpuCounts {
  /** Runs of a kernel. */
  dispatches: number;
  /** Calls of `queue.submit`, those of read-backs included. */
  submits: number;
  /** Kernels compiled. */
  pipelines: number;
  /** Bind groups made. */
  bindGroups: number;
  /** Tensors, uniforms and placeholders; without the staging buffer that each read-back takes and gives back. */
  buffers: number;
  /** Waits for the GPU that brought something back. */
  reads: number;
  /** Bytes that they brought. */
  readBytes: number;
  /** Tensors that the host wrote. */
  writes: number;
  /** Bytes that it wrote. */
  writtenBytes: number;
}

/** Counts at the start. */
export function noCounts(): GpuCounts {
  return {
    dispatches: 0,
    submits: 0,
    pipelines: 0,
    bindGroups: 0,
    buffers: 0,
    reads: 0,
    readBytes: 0,
    writes: 0,
    writtenBytes: 0,
  };
}

/** What was counted between two looks. */
export function countsBetween(before: GpuCounts, after: GpuCounts): GpuCounts {
  const names = Object.keys(before) as (keyof GpuCounts)[];
  return Object.fromEntries(
    names.map((name) => [name, after[name] - before[name]]),
  ) as unknown as GpuCounts;
}
