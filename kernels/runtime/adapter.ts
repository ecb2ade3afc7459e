import type { AdapterLimits } from "./dry_gpu.ts";
import { GpuUnavailableError } from "./errors.ts";
import { mapsAtOnce } from "./mapping.ts";

/** What to ask of an adapter. */
export interface AdapterOptions {
  /** Another WebGPU implementation than the runtime's own, such as Dawn's. */
  webgpu?: GPU;
  /** Use subgroup operations where the adapter has them (default true). */
  subgroups?: boolean;
  /** Most bytes that one binding may cover; the adapter's own limit if larger or absent. */
  bindingBytes?: number;
  /** Let a `Profiler` use the adapter's timestamps, where it has them (default false). */
  timestamps?: boolean;
}

/** A device, and what kernels need to know of its adapter. */
export interface OpenedDevice {
  /** With the adapter's real limits, not WebGPU's defaults, but for the number of storage buffers. */
  device: GPUDevice;
  /** Name of the adapter, such as `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  description: string;
  /** Whether the adapter is a program on the CPU rather than a GPU. */
  software: boolean;
  /** Invocations per subgroup where that is one fixed number and may be used; otherwise 0. */
  subgroupSize: number;
  /** What WGSL with subgroup operations begins with. */
  subgroupDirective: string;
  /** Most bytes that one binding may cover. */
  bindingBytes: number;
  /** Whether what is read is there without a wait; see mapping.ts. */
  mapsAtOnce: boolean;
}

/**
 * Opens the default adapter of a WebGPU.
 *
 * @throws {GpuUnavailableError} If there is no adapter; the message has the command that installs one.
 */
export async function openDevice(options: AdapterOptions): Promise<OpenedDevice> {
  const adapter = await requestAdapter(options.webgpu);
  const { limits, info } = adapter;
  // Not more storage buffers than the eight that every adapter has: kernels do with them.
  const requiredLimits = {
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
  };
  const { subgroupMinSize, subgroupMaxSize, description } = info;
  let subgroupSize = options.subgroups !== false && subgroupMinSize === subgroupMaxSize
    ? subgroupMaxSize ?? 0
    : 0;
  const timestamps: GPUFeatureName[] = options.timestamps && adapter.features.has("timestamp-query")
    ? ["timestamp-query"]
    : [];
  let device: GPUDevice | undefined;
  if (subgroupSize > 0) {
    // Deno grants the feature without listing it, so asking is the only way to know.
    device = await adapter.requestDevice({
      requiredLimits,
      requiredFeatures: [...timestamps, "subgroups" as GPUFeatureName],
    }).catch(() => undefined);
  }
  if (!device) {
    subgroupSize = 0;
    device = await adapter.requestDevice({ requiredLimits, requiredFeatures: timestamps });
  }
  return {
    device,
    description,
    software: info.isFallbackAdapter || /llvmpipe|swiftshader/i.test(description),
    subgroupSize,
    // Browsers list the feature and want the line; Deno's compiler has the operations without it, and refuses it.
    subgroupDirective: adapter.features.has("subgroups") ? "enable subgroups;\n" : "",
    bindingBytes: Math.min(options.bindingBytes ?? Infinity, limits.maxStorageBufferBindingSize),
    mapsAtOnce: !options.webgpu && await mapsAtOnce(device),
  };
}

/**
 * The limits of the runtime's default adapter, which is not opened.
 *
 * @throws {GpuUnavailableError} If there is none.
 */
export async function adapterLimits(): Promise<AdapterLimits> {
  const { limits } = await requestAdapter();
  return { bindingBytes: limits.maxStorageBufferBindingSize, bufferBytes: limits.maxBufferSize };
}

async function requestAdapter(webgpu: GPU | undefined = navigator.gpu): Promise<GPUAdapter> {
  const adapter = await webgpu?.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) return adapter;
  throw new GpuUnavailableError(
    "No WebGPU adapter was found; on Linux install a Vulkan driver, for a machine without a GPU: " +
      "apt-get install mesa-vulkan-drivers",
  );
}
