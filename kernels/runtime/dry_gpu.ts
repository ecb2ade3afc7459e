/**
 * A WebGPU on which nothing runs: buffers have a size and no content, and what is read from them is zeros.
 *
 * On it models and training steps allocate, record and check shapes and limits as on a real adapter, in
 * milliseconds and without memory, so that `gpu.peakBytes` says beforehand what a real run takes. It has what `Gpu`,
 * `Pass` and `PipelineCache` use of WebGPU, and no more.
 */

import type { Tuning } from "./tuning.ts";

/** What an adapter allows. */
export interface AdapterLimits {
  /** Most bytes that one binding may cover: `maxStorageBufferBindingSize`. */
  bindingBytes: number;
  /** Most bytes of one buffer: `maxBufferSize`. */
  bufferBytes: number;
}

/** By what, beside its limits, kernels are chosen for an adapter; a `Gpu` has it. */
export interface AdapterKind {
  /** Whether it is a program on the CPU (default false). */
  software?: boolean;
  /** Invocations per subgroup where that is one fixed number (default 0). */
  subgroupSize?: number;
  /** What was measured there (default nothing). */
  tuning?: Pick<Tuning, "choices">;
}

/** A WebGPU for `Gpu.open({ webgpu })` whose only adapter does nothing within these limits. */
export function dryWebGpu(
  { bindingBytes, bufferBytes }: AdapterLimits,
  { software = false, subgroupSize = 0 }: AdapterKind = {},
): GPU {
  const limits = {
    maxBufferSize: bufferBytes,
    maxStorageBufferBindingSize: bindingBytes,
    maxComputeWorkgroupStorageSize: 2 ** 14,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
  };
  const adapter = {
    limits,
    features: new Set(),
    info: {
      description: "dry run",
      isFallbackAdapter: software,
      subgroupMinSize: subgroupSize,
      subgroupMaxSize: subgroupSize,
    },
    requestDevice: () => Promise.resolve(dryDevice(limits)),
  };
  return { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU;
}

function dryDevice(limits: object): object {
  const compute = {
    setPipeline() {},
    setBindGroup() {},
    dispatchWorkgroups() {},
    end() {},
  };
  const encoder = {
    beginComputePass: () => compute,
    clearBuffer() {},
    copyBufferToBuffer() {},
    finish: () => ({}),
  };
  return {
    limits,
    features: new Set(),
    lost: new Promise(() => {}),
    queue: { submit() {}, writeBuffer() {} },
    addEventListener() {},
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipeline: () => ({}),
    createBindGroup: () => ({}),
    createCommandEncoder: () => encoder,
    createBuffer: ({ size }: { size: number }) => ({
      mapAsync: () => Promise.resolve(),
      getMappedRange: () => new ArrayBuffer(size), // only what is read has one
      unmap() {},
      destroy() {},
    }),
    destroy() {},
  };
}
