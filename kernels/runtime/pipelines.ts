import { GpuError, ShaderError, ShapeError } from "./errors.ts";
import type { Gpu } from "./gpu.ts";
import { type Access, type Kernel, packParams, wgslOf } from "./kernel.ts";
import { type Dtype, show, type Storage, type Tensor } from "./tensor.ts";

/** Everything that specialises one dispatch of a kernel, beside its tensors. */
export interface Specialisation {
  /** Values for `override` declarations; the kernel's own if absent. */
  constants?: Readonly<Record<string, number>>;
  /** Values for `const` declarations that the code leaves out; the kernel's own if absent. */
  consts?: Readonly<Record<string, number>>;
}

/** A kernel, and what it is compiled with. */
export type PlannedKernel = [kernel: Kernel, specialisation: Specialisation];

interface Pipeline {
  readonly id: number; // from 0, in the order of compiling
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

const UNIFORM_SLOT = 256; // the largest alignment that WebGPU asks of a uniform's offset
const SLOTS_PER_BUFFER = 256;

/** Bind groups that are kept; a training step of the embedded model uses about 300. */
const MOST_BIND_GROUPS = 4096;

/**
 * Pipelines, uniforms and bind groups, each made once and found again by what it is made of.
 *
 * Uniforms are immutable and shared by content: numbers that change from step to step belong in a tensor.
 * Batches differ in their numbers of tokens, so that in a long run uniforms and bind groups would pile up:
 * {@linkcode trim} drops them when there are many.
 */
export class PipelineCache {
  readonly #pipelines = new Map<Kernel, Map<string, Pipeline>>();
  readonly #uniforms = new Map<string, { buffer: GPUBuffer; offset: number; id: number }>();
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #keysOfStorage = new Map<number, Set<string>>();
  readonly #placeholders = new Map<string, GPUBuffer>();
  #uniformBuffers: GPUBuffer[] = [];
  /** Dropped; a pass that is being recorded may still use them. */
  #spentBuffers: GPUBuffer[] = [];
  #nextPipeline = 0;
  #nextUniform = 0;

  constructor(readonly gpu: Gpu, readonly mostBindGroups: number = MOST_BIND_GROUPS) {}

  /** The compiled pipeline of a kernel under these constants. */
  pipeline(kernel: Kernel, { constants, consts }: Specialisation = {}): Pipeline {
    let variants = this.#pipelines.get(kernel);
    if (!variants) this.#pipelines.set(kernel, variants = new Map());
    const key = JSON.stringify([constants, consts]);
    let pipeline = variants.get(key);
    if (!pipeline) variants.set(key, pipeline = this.#compile(kernel, constants, consts));
    return pipeline;
  }

  /**
   * Has a kernel compiled to the end. Some drivers, as Mesa's for CPUs, leave that to the first dispatch, so it gets one, of
   * no workgroups; it is compiled when the queue has done it.
   */
  warm(kernel: Kernel, specialisation: Specialisation): void {
    const { pipeline, layout } = this.pipeline(kernel, specialisation);
    const { device } = this.gpu;
    const zeros = Object.fromEntries(Object.keys(kernel.params).map((name) => [name, 0]));
    const uniform = this.#uniform(packParams(kernel, zeros));
    const bindings = Object.keys(kernel.bindings).map((name, index) => ({
      binding: index + 1,
      resource: { buffer: this.#placeholder(name) },
    }));
    const encoder = device.createCommandEncoder({ label: "warm-up" });
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({ layout, entries: [uniformEntry(uniform), ...bindings] }),
    );
    pass.dispatchWorkgroups(0);
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  /** How many pipelines there are. */
  get count(): number {
    return this.#nextPipeline;
  }

  /** What was compiled after the first `known`; on a Gpu of the same kind it can be compiled in advance. */
  *compiled(known = 0): Generator<PlannedKernel> {
    for (const [kernel, variants] of this.#pipelines) {
      for (const [key, { id }] of variants) {
        if (id < known) continue;
        const [constants, consts] = JSON.parse(key); // null where it was absent
        yield [kernel, { ...(constants && { constants }), ...(consts && { consts }) }];
      }
    }
  }

  /** The bind group of a kernel, its params and its tensors. */
  bindGroup(
    kernel: Kernel,
    pipeline: Pipeline,
    tensors: Readonly<Record<string, Tensor<Dtype> | undefined>>,
    params: Readonly<Record<string, number>>,
  ): GPUBindGroup {
    const uniform = this.#uniform(packParams(kernel, params));
    let key = `${pipeline.id}/${uniform.id}`;
    for (const name in kernel.bindings) {
      const tensor = tensors[name];
      if (tensor) tensor.storage.usedAt = this.gpu.submits;
      key += tensor ? `/${tensor.storage.id}+${tensor.offset}:${tensor.bytes}` : "/-";
    }
    let group = this.#bindGroups.get(key);
    if (group) return group;

    checkTensors(this.gpu, kernel, tensors);
    this.gpu.counts.bindGroups++;
    const entries = [uniformEntry(uniform)];
    Object.keys(kernel.bindings).forEach((name, index) => {
      const tensor = tensors[name];
      const resource = tensor ? bindingOf(tensor) : { buffer: this.#placeholder(name) };
      entries.push({ binding: index + 1, resource });
      if (tensor) this.#keysOf(tensor.storage).add(key);
    });
    group = this.gpu.device.createBindGroup({
      label: kernel.label,
      layout: pipeline.layout,
      entries,
    });
    this.#bindGroups.set(key, group);
    return group;
  }

  /** Drops the bind groups that mention a freed storage. */
  forget(storage: Storage): void {
    for (const key of this.#keysOfStorage.get(storage.id) ?? []) this.#bindGroups.delete(key);
    this.#keysOfStorage.delete(storage.id);
  }

  /**
   * Drops all bind groups and uniforms when they are more than `mostBindGroups`; those still needed are made
   * again, which takes some 35 us each. Called after a submit. The uniforms' memory is released at the
   * next time, so that a pass which is being recorded meanwhile finds its own.
   */
  trim(): void {
    if (this.#bindGroups.size <= this.mostBindGroups) return;
    this.#bindGroups.clear();
    this.#keysOfStorage.clear();
    this.#uniforms.clear();
    for (const buffer of this.#spentBuffers) buffer.destroy();
    this.#spentBuffers = this.#uniformBuffers;
    this.#uniformBuffers = [];
  }

  #compile(
    kernel: Kernel,
    constants = kernel.constants ?? {},
    consts = kernel.consts ?? {},
  ): Pipeline {
    if (kernel.subgroups && this.gpu.subgroupSize === 0) {
      throw new ShaderError(
        `Cannot compile ${kernel.label}: the adapter has no fixed-size subgroups`,
      );
    }
    const { device, counts, subgroupDirective } = this.gpu;
    counts.pipelines++;
    const { label } = kernel;
    const code = (kernel.subgroups ? subgroupDirective : "") + wgslOf(kernel, consts);
    const layout = device.createBindGroupLayout({
      label,
      entries: [
        { binding: 0, visibility: 4, buffer: { type: "uniform" } },
        ...Object.values(kernel.bindings).map((access, index) => ({
          binding: index + 1,
          visibility: 4, // COMPUTE
          buffer: { type: bufferType(access) },
        })),
      ],
    });
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
      compute: {
        module: device.createShaderModule({ label, code }),
        entryPoint: kernel.entry,
        constants,
      },
    });
    return { id: this.#nextPipeline++, pipeline, layout };
  }

  #uniform(words: Uint32Array<ArrayBuffer>): { buffer: GPUBuffer; offset: number; id: number } {
    const key = words.join();
    let uniform = this.#uniforms.get(key);
    if (!uniform) {
      const slot = this.#uniforms.size % SLOTS_PER_BUFFER;
      if (slot === 0) {
        this.gpu.counts.buffers++;
        this.#uniformBuffers.push(this.gpu.device.createBuffer({
          label: "params",
          size: UNIFORM_SLOT * SLOTS_PER_BUFFER,
          usage: 0x40 | 0x08, // UNIFORM | COPY_DST
        }));
      }
      const buffer = this.#uniformBuffers.at(-1)!;
      uniform = { buffer, offset: slot * UNIFORM_SLOT, id: this.#nextUniform++ };
      this.gpu.device.queue.writeBuffer(uniform.buffer, uniform.offset, words);
      this.#uniforms.set(key, uniform);
    }
    return uniform;
  }

  /** Sixteen zero bytes for an optional binding; one for each name, since writes must not alias. */
  #placeholder(name: string): GPUBuffer {
    let buffer = this.#placeholders.get(name);
    if (!buffer) {
      this.gpu.counts.buffers++;
      buffer = this.gpu.device.createBuffer({ label: `no ${name}`, size: 16, usage: 0x80 });
      this.#placeholders.set(name, buffer);
    }
    return buffer;
  }

  #keysOf(storage: Storage): Set<string> {
    let keys = this.#keysOfStorage.get(storage.id);
    if (!keys) this.#keysOfStorage.set(storage.id, keys = new Set());
    return keys;
  }
}

function uniformEntry(
  { buffer, offset }: { buffer: GPUBuffer; offset: number },
): GPUBindGroupEntry {
  return { binding: 0, resource: { buffer, offset, size: UNIFORM_SLOT } };
}

function bufferType(access: Access): GPUBufferBindingType {
  return access.startsWith("read") ? "read-only-storage" : "storage";
}

/** Whole vec4s where the storage allows, so that `array<vec4f>` sees the last elements too. */
function bindingOf(tensor: Tensor<Dtype>): GPUBufferBinding {
  const { storage, offset } = tensor;
  const size = Math.min(Math.ceil(tensor.bytes / 16) * 16, storage.bytes - offset);
  return { buffer: storage.buffer, offset, size };
}

/** What WebGPU would refuse with less to go on, or, for writes that overlap, not refuse at all. */
function checkTensors(
  gpu: Gpu,
  kernel: Kernel,
  tensors: Readonly<Record<string, Tensor<Dtype> | undefined>>,
): void {
  const bound = Object.entries(kernel.bindings).flatMap(([name, access]) => {
    const tensor = tensors[name];
    if (!tensor && !access.endsWith("?")) {
      throw new ShapeError(`Cannot dispatch ${kernel.label}: tensor ${name} is missing`);
    }
    return tensor ? [{ name, tensor, writes: bufferType(access) === "storage" }] : [];
  });
  for (const { name, tensor } of bound) {
    if (tensor.storage.freed) {
      throw new GpuError(`Cannot dispatch ${kernel.label}: tensor ${name} was freed`);
    }
    if (tensor.bytes > gpu.bindingBytes) {
      throw new ShapeError(
        `Cannot dispatch ${kernel.label}: ${name} ${
          show(tensor.shape)
        } has ${tensor.bytes} bytes, ` +
          `one binding may have ${gpu.bindingBytes}; pass it in row shards`,
      );
    }
  }
  for (const a of bound) {
    for (const b of bound) {
      if (a === b || !a.writes || a.tensor.storage !== b.tensor.storage) continue;
      const overlap = a.tensor.offset < b.tensor.offset + b.tensor.bytes &&
        b.tensor.offset < a.tensor.offset + a.tensor.bytes;
      if (!b.writes || overlap) {
        throw new GpuError(
          `Cannot dispatch ${kernel.label}: ${a.name} is written and shares its buffer with ${b.name}`,
        );
      }
    }
  }
}
