import type { Gpu } from "./gpu.ts";
import { ShapeError } from "./errors.ts";
import type { Access, Kernel, Scalar } from "./kernel.ts";
import type { Specialisation } from "./pipelines.ts";
import type { PassTimer } from "./profiler.ts";
import { type Dtype, show, type Tensor } from "./tensor.ts";

const MAX_GROUPS = 65535;

/**
 * Work in one command buffer, in floating-point operations: some tens of milliseconds of a laptop's GPU, which draws nothing
 * meanwhile. Drivers give up a GPU that is busy with one command buffer for seconds.
 */
const MOST_WORK = 5e10;

/** Operations that take about as long as moving a byte does. */
const WORK_PER_BYTE = 10;

/** The tensors of a dispatch: one for each binding, optional ones perhaps left out. */
export type Bound<B extends Record<string, Access>> =
  & { [Name in keyof B as B[Name] extends `${string}?` ? never : Name]: Tensor<Dtype> }
  & {
    [Name in keyof B as B[Name] extends `${string}?` ? Name : never]?: Tensor<Dtype> | undefined;
  };

/** One dispatch of a kernel. */
export interface Dispatch<B extends Record<string, Access>, P extends Record<string, Scalar>>
  extends Specialisation {
  /** One tensor for each binding, optional ones perhaps left out. */
  tensors: Bound<B>;
  /** The scalars of the uniform. */
  params: { [Name in keyof P]: number };
  /** Workgroups in x, y, z. A single number above 65,535 is folded: see `group_index` in common.wgsl. */
  workgroups: readonly [number] | readonly [number, number] | readonly [number, number, number];
  /** Floating-point operations, a multiply-add being two: for a {@linkcode Profiler}, and to bound command buffers. */
  flops?: number;
}

/** A pass that was submitted, for whoever must say what the GPU is doing. */
export interface SubmittedPass {
  /** Label of the pass. */
  readonly label: string;
  /** Dispatches of each kernel in it, by the kernel's label. */
  readonly kernels: ReadonlyMap<string, number>;
}

/**
 * Records dispatches, clears and copies; `submit` runs them in the order recorded. Much work is run in parts, each as
 * soon as it is recorded, so whatever a dispatch reads must be written before it is recorded.
 */
export class Pass {
  #encoder: GPUCommandEncoder;
  readonly #timer: PassTimer | undefined;
  #kernels = new Map<string, number>();
  #work = 0;
  #compute: GPUComputePassEncoder | undefined;

  /** Starts recording; `gpu.record` calls it. */
  constructor(readonly gpu: Gpu, readonly label: string) {
    this.#encoder = gpu.device.createCommandEncoder({ label });
    this.#timer = gpu.profiler?.timePass(label);
  }

  /** Records one run of a kernel. */
  dispatch<B extends Record<string, Access>, P extends Record<string, Scalar>>(
    kernel: Kernel<B, P>,
    { tensors, params, workgroups, flops, ...specialisation }: Dispatch<B, P>,
  ): void {
    if (this.#work > MOST_WORK && !this.#timer) this.#runPart();
    const { pipelines, counts } = this.gpu;
    const pipeline = pipelines.pipeline(kernel, specialisation);
    const bound = tensors as Record<string, Tensor<Dtype>>;
    const group = pipelines.bindGroup(kernel, pipeline, bound, params);
    if (this.#timer) this.#endCompute(); // each dispatch is timed as a pass of its own
    const compute = this.#compute ??= this.#encoder.beginComputePass({
      label: this.label,
      ...this.#timer?.begin(kernel, bound, flops),
    });
    compute.setPipeline(pipeline.pipeline);
    compute.setBindGroup(0, group);
    compute.dispatchWorkgroups(...fold(kernel.label, workgroups));
    counts.dispatches++;
    this.#work += (flops ?? 0) + WORK_PER_BYTE * bytesOf(bound);
    this.#kernels.set(kernel.label, (this.#kernels.get(kernel.label) ?? 0) + 1);
    if (!this.#timer) return;
    this.#endCompute();
    this.#encoder = this.#timer.end(this.#encoder);
  }

  /** Overwrites a contiguous tensor with zeros. */
  clear(tensor: Tensor<Dtype>): void {
    this.#endCompute();
    tensor.storage.usedAt = this.gpu.submits;
    this.#encoder.clearBuffer(tensor.storage.buffer, tensor.offset, tensor.bytes);
  }

  /** Overwrites `to` with `from`; both contiguous and of one size. */
  copy(from: Tensor<Dtype>, to: Tensor<Dtype>): void {
    if (from.size !== to.size || !from.contiguous || !to.contiguous) {
      throw new ShapeError(`Cannot copy ${show(from.shape)} to ${show(to.shape)}`);
    }
    this.#endCompute();
    from.storage.usedAt = to.storage.usedAt = this.gpu.submits;
    this.#encoder.copyBufferToBuffer(
      from.storage.buffer,
      from.offset,
      to.storage.buffer,
      to.offset,
      from.bytes,
    );
  }

  /** Runs what was recorded; returns at once. */
  submit(): void {
    this.#endCompute();
    this.#timer?.finish(this.#encoder);
    this.gpu.submit(this.#encoder.finish(), { label: this.label, kernels: this.#kernels });
  }

  #runPart(): void {
    this.submit();
    this.#encoder = this.gpu.device.createCommandEncoder({ label: this.label });
    this.#kernels = new Map();
    this.#work = 0;
  }

  #endCompute(): void {
    this.#compute?.end();
    this.#compute = undefined;
  }
}

function bytesOf(tensors: Readonly<Record<string, Tensor<Dtype> | undefined>>): number {
  return Object.values(tensors).reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0);
}

function fold(label: string, workgroups: readonly number[]): [number, number, number] {
  const [x, y, z = 1] = workgroups as [number, number?, number?];
  if (y === undefined && x > MAX_GROUPS) {
    const rows = Math.ceil(x / MAX_GROUPS);
    return [Math.ceil(x / rows), rows, 1];
  }
  if (Math.max(x, y ?? 1, z) > MAX_GROUPS || Math.min(x, y ?? 1, z) < 1) {
    throw new ShapeError(`Cannot dispatch ${label}: ${show(workgroups)} workgroups`);
  }
  return [x, y ?? 1, z];
}
