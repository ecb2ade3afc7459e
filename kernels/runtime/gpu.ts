import { type AdapterOptions, openDevice, type OpenedDevice } from "./adapter.ts";
import { DeviceLostError, GpuError, GpuMemoryError, ShapeError } from "./errors.ts";
import { type GpuCounts, noCounts } from "./counts.ts";
import { mapped, stagingBuffer } from "./mapping.ts";
import { Pass, type SubmittedPass } from "./pass.ts";
import { PipelineCache } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";
import { Tuning } from "./tuning.ts";
import { type Dtype, type HostArray, show, sizeOf, type Storage, Tensor } from "./tensor.ts";
import type { GpuWatcher } from "./watcher.ts";

/** How to open a {@linkcode Gpu}. */
export interface GpuOptions extends AdapterOptions {
  /** Most bytes that may be allocated at a time; none by default. */
  byteBudget?: number;
  /** Hears of every wait for the GPU. */
  watcher?: GpuWatcher;
}

/** Most passes that are remembered for a watcher. */
const WATCHED_PASSES = 64;

const BUFFER_USAGE = 0x80 | 0x08 | 0x04; // STORAGE | COPY_DST | COPY_SRC

/**
 * An adapter's device with everything that belongs to it: memory, pipelines, the first error.
 *
 * ```ts
 * import { Gpu } from "@kl-guard/kl-guard";
 *
 * using gpu = await Gpu.open();
 * const x = gpu.tensor([1, 2, 3, 4], [2, 2]);
 * console.log(await gpu.read(x.rows(1, 2))); // Float32Array [3, 4]
 * gpu.free(x);
 * ```
 *
 * The device's errors arrive late: the first one is kept, and the next submit or read throws it.
 */
export class Gpu implements Disposable {
  /** With the adapter's real limits. */
  readonly device: GPUDevice;
  /** Name of the adapter, such as `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly description: string;
  /** Whether the adapter is a program on the CPU rather than a GPU. */
  readonly software: boolean;
  /** Invocations per subgroup where that is one fixed number and may be used; otherwise 0. */
  readonly subgroupSize: number;
  /**
   * What WGSL with subgroup operations begins with.
   *
   * @internal
   */
  readonly subgroupDirective: string;
  /** Most bytes that one binding may cover. */
  readonly bindingBytes: number;
  /** Most bytes that may be allocated at a time. */
  readonly byteBudget: number;
  /** Hears of every wait for the GPU. */
  readonly watcher: GpuWatcher | undefined;
  /** Bytes allocated and not yet freed. */
  liveBytes = 0;
  /** The most that `liveBytes` has been. */
  peakBytes = 0;
  /** What was measured to be fastest here; empty at first. */
  readonly tuning: Tuning = new Tuning();
  /** @internal */
  readonly pipelines: PipelineCache;
  /** Passes submitted so far. */
  submits = 0;
  /** What was asked of the device so far. */
  readonly counts: GpuCounts = noCounts();
  /** Times every dispatch of the passes that are begun while it is set. */
  profiler: Profiler | undefined;
  readonly #retired: Tensor<Dtype>[] = [];
  #nextStorage = 0;
  /** Submitted since the last read. */
  #unfinished: SubmittedPass[] = [];
  #firstError: Error | undefined;
  #closed = false;
  readonly #mapsAtOnce: boolean;
  readonly #options: GpuOptions;

  private constructor(opened: OpenedDevice, options: GpuOptions) {
    const { device } = opened;
    this.device = device;
    this.description = opened.description;
    this.software = opened.software;
    this.subgroupSize = opened.subgroupSize;
    this.subgroupDirective = opened.subgroupDirective;
    this.bindingBytes = opened.bindingBytes;
    this.#mapsAtOnce = opened.mapsAtOnce;
    this.#options = options;
    this.byteBudget = options.byteBudget ?? Infinity;
    this.watcher = options.watcher;
    this.pipelines = new PipelineCache(this);
    device.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      this.#firstError ??= error instanceof GPUOutOfMemoryError
        ? new GpuMemoryError(`The GPU has no memory left: ${error.message}`)
        : new GpuError(`The GPU refused work: ${error.message}`);
    });
    device.lost.then(({ reason, message }) => {
      if (!this.#closed) {
        this.#firstError ??= new DeviceLostError(`The GPU was lost (${reason}): ${message}`);
      }
    });
  }

  /**
   * Opens the runtime's default adapter with its real limits.
   *
   * @throws {GpuUnavailableError} If there is no adapter; the message has the command that installs one.
   */
  static async open(options: GpuOptions = {}): Promise<Gpu> {
    return new Gpu(await openDevice(options), options);
  }

  /**
   * Another device, opened as this one was.
   *
   * @internal
   */
  another(): Promise<Gpu> {
    return Gpu.open(this.#options);
  }

  /** Lanes per workgroup for kernels that reduce over a row: one vector of a CPU, or two warps of a GPU. */
  get rowLanes(): number {
    return this.software ? 8 : 64;
  }

  /** A tensor of `shape`, zero at first. The caller frees it. */
  empty<D extends Dtype = "f32">(
    shape: readonly number[],
    dtype: D = "f32" as D,
    label = "tensor",
  ): Tensor<D> {
    const size = sizeOf(shape);
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new ShapeError(`Cannot allocate ${label}: shape ${show(shape)} has no elements`);
    }
    const bytes = Math.ceil(4 * size / 256) * 256;
    const { maxBufferSize } = this.device.limits;
    if (bytes > maxBufferSize || this.liveBytes + bytes > this.byteBudget) {
      const limit = bytes > maxBufferSize
        ? `the adapter allows ${maxBufferSize} bytes in one buffer`
        : `${this.liveBytes} of ${this.byteBudget} bytes are in use`;
      throw new GpuMemoryError(`Cannot allocate ${bytes} bytes for ${label}: ${limit}`);
    }
    const buffer = this.device.createBuffer({ label, size: bytes, usage: BUFFER_USAGE });
    this.counts.buffers++;
    const id = this.#nextStorage++;
    const storage: Storage = { id, buffer, bytes, freed: false, usedAt: this.submits };
    this.liveBytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    return new Tensor(storage, 0, shape, dtype);
  }

  /** A tensor of `shape` holding `data`. The caller frees it. */
  tensor<D extends Dtype = "f32">(
    data: ArrayLike<number>,
    shape: readonly number[] = [data.length],
    dtype: D = "f32" as D,
    label = "tensor",
  ): Tensor<D> {
    const tensor = this.empty(shape, dtype, label);
    this.write(tensor, data);
    return tensor;
  }

  /** Overwrites a contiguous tensor with `data`, before any pass that is submitted later. */
  write(tensor: Tensor<Dtype>, data: ArrayLike<number>): void {
    if (data.length !== tensor.size || !tensor.contiguous) {
      throw new ShapeError(
        `Cannot write ${data.length} elements to a tensor of shape ${show(tensor.shape)}`,
      );
    }
    const host = tensor.dtype === "f32"
      ? data instanceof Float32Array ? data : Float32Array.from(data)
      : data instanceof Uint32Array
      ? data
      : Uint32Array.from(data);
    tensor.storage.usedAt = this.submits;
    this.counts.writes++;
    this.counts.writtenBytes += tensor.bytes;
    this.device.queue.writeBuffer(
      tensor.storage.buffer,
      tensor.offset,
      host as Float32Array<ArrayBuffer>,
    );
  }

  /**
   * Sends what {@linkcode write} was given since the last submit, whose copies on the host are then freed:
   * for writing more than the host should hold at a time.
   */
  flush(): void {
    this.device.queue.submit([]);
  }

  /** Releases the memory of tensors made by {@linkcode empty} or {@linkcode tensor}. Twice is once. */
  free(...tensors: Tensor<Dtype>[]): void {
    for (const { storage } of tensors) {
      if (storage.freed) continue;
      storage.freed = true;
      storage.buffer.destroy();
      this.liveBytes -= storage.bytes;
      this.pipelines.forget(storage);
    }
  }

  /** Like {@linkcode free}, but after the next submit where the pass that is being recorded may use the tensor. */
  retire(tensor: Tensor<Dtype>): void {
    if (tensor.storage.usedAt < this.submits) this.free(tensor);
    else this.#retired.push(tensor);
  }

  /** Runs recorded commands; {@linkcode Pass.submit} calls it. */
  submit(commands: GPUCommandBuffer, pass: SubmittedPass): void {
    if (this.#unfinished.length === WATCHED_PASSES) {
      this.#unfinished = this.#unfinished.slice(WATCHED_PASSES / 2);
    }
    this.#unfinished.push(pass);
    this.watcher?.waitBegins(this.#unfinished); // a driver may wait for the pass before
    this.device.queue.submit([commands]);
    this.watcher?.waitEnds();
    this.submits++;
    this.counts.submits++;
    this.free(...this.#retired.splice(0));
    this.pipelines.trim();
    this.check();
  }

  /** Starts recording; `submit` runs the last of it. */
  record(label = "pass"): Pass {
    return new Pass(this, label);
  }

  /** Waits for everything submitted and copies one tensor to the host. */
  async read<D extends Dtype>(tensor: Tensor<D>): Promise<HostArray<D>> {
    const [data] = await this.readAll([tensor]);
    return data as HostArray<D>;
  }

  /** Copies several tensors to the host with a single wait. */
  async readAll(tensors: readonly Tensor<Dtype>[]): Promise<(Float32Array | Uint32Array)[]> {
    this.check();
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    this.counts.submits++;
    this.counts.reads++;
    this.counts.readBytes += bytes;
    let staging: GPUBuffer;
    let range: ArrayBuffer;
    this.watcher?.waitBegins(this.#unfinished);
    try {
      staging = stagingBuffer(this.device, bytes);
      this.#submitCopies(tensors, staging);
      range = await mapped(staging, this.#mapsAtOnce);
    } catch (cause) {
      await new Promise((resolve) => setTimeout(resolve)); // the reason arrives as an event
      this.check();
      throw new GpuError("Cannot read from the GPU: the copy could not be mapped", { cause });
    } finally {
      this.watcher?.waitEnds();
      this.#unfinished = [];
    }
    this.check();
    let at = 0;
    const copies = tensors.map((tensor) => {
      const host = tensor.dtype === "f32" ? Float32Array : Uint32Array;
      const data = new host(range.slice(at, at + tensor.bytes));
      at += tensor.bytes;
      return tensor.contiguous ? data : packRows(data, tensor);
    });
    staging.destroy();
    return copies;
  }

  /** Copies tensors to a staging buffer, one after the other. */
  #submitCopies(tensors: readonly Tensor<Dtype>[], staging: GPUBuffer): void {
    const encoder = this.device.createCommandEncoder({ label: "read" });
    let at = 0;
    for (const tensor of tensors) {
      encoder.copyBufferToBuffer(tensor.storage.buffer, tensor.offset, staging, at, tensor.bytes);
      at += tensor.bytes;
    }
    this.device.queue.submit([encoder.finish()]);
  }

  /**
   * Throws the first error that the device reported, if any.
   *
   * @throws {DeviceLostError} If the GPU is gone.
   * @throws {GpuMemoryError} If it had no memory left.
   * @throws {GpuError} If it refused work.
   */
  check(): void {
    if (this.#firstError) throw this.#firstError;
  }

  /** Destroys the device and everything on it. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.device.destroy();
  }
}

function packRows(data: Float32Array | Uint32Array, tensor: Tensor<Dtype>) {
  const packed = new (data.constructor as typeof Float32Array)(tensor.size);
  for (let row = 0; row < tensor.rowCount; row++) {
    const from = row * tensor.rowStride;
    packed.set(data.subarray(from, from + tensor.columnCount), row * tensor.columnCount);
  }
  return packed;
}
