/** A tensor has the wrong shape or type for what is asked of it. */
export class ShapeError extends TypeError {
  /** The name of the class. */
  override name = "ShapeError";
}

/** WGSL text that does not compile, or a pipeline that cannot be made of it. */
export class ShaderError extends SyntaxError {
  /** The name of the class. */
  override name = "ShaderError";
}

/** No WebGPU adapter: the message says how to get one. */
export class GpuUnavailableError extends Error {
  /** The name of the class. */
  override name = "GpuUnavailableError";
}

/** The GPU refused or dropped work: a validation error, memory exhausted, or the device lost. */
export class GpuError extends Error {
  /** The name of the class. */
  override name = "GpuError";
}

/** The GPU is gone: unplugged, reset by its driver, or destroyed. Work can go on with a fresh Gpu only. */
export class DeviceLostError extends GpuError {
  /** The name of the class. */
  override name = "DeviceLostError";
}

/** An allocation would pass the byte budget of the {@linkcode Gpu}, or the GPU has no memory left. */
export class GpuMemoryError extends RangeError {
  /** The name of the class. */
  override name = "GpuMemoryError";
}
