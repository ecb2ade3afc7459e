import type { Gpu } from "./gpu.ts";
import type { Access, Kernel } from "./kernel.ts";
import type { Dtype, Tensor } from "./tensor.ts";

/** One run of a kernel, and how long it took. */
export interface TimedDispatch {
  /** Label of the kernel. */
  kernel: string;
  /** Label of the pass that it was recorded in. */
  pass: string;
  /** Shapes of its tensors, in the order of the spec, each once: `(16, 192) (192, 576) (16, 576)`. */
  shape: string;
  /** Floating-point operations, a multiply-add being two; 0 where the kernel does not say. */
  flops: number;
  /** Bytes of the tensors that it reads and writes. A kernel that touches only a part of one moves fewer. */
  bytes: number;
  /** When it began, in ms on the clock of `performance.now()`. */
  startMs: number;
  /** How long it took. */
  ms: number;
}

type Untimed = Omit<TimedDispatch, "startMs" | "ms">;

/** Queries in a set: as many as WebGPU allows. */
const SET_SIZE = 4096;

const RESOLVE_USAGE = 0x200 | 0x04; // QUERY_RESOLVE | COPY_SRC
const STAGING_USAGE = 0x01 | 0x08; // MAP_READ | COPY_DST

/**
 * Times every dispatch of the passes that are recorded while it is `gpu.profiler`.
 *
 * ```ts
 * import { Gpu, loadCausalLM, Profiler } from "@kl-guard/kl-guard";
 *
 * using gpu = await Gpu.open({ timestamps: true });
 * using model = await loadCausalLM(gpu, "weights/review-gpt2");
 * gpu.profiler = await Profiler.open(gpu);
 * await model.generate(["The movie was"], { maxNewTokens: 4 });
 * for (const { kernel, ms } of await gpu.profiler.collect()) console.log(kernel, ms);
 * ```
 *
 * With the adapter's timestamps each dispatch becomes a compute pass of its own, which adds some 60 us between
 * dispatches but not to their times. Without, each is submitted alone and waited for: its time then holds what a
 * submit costs, 0.1 ms and more, so that small kernels look slow; and only where `onSubmittedWorkDone` waits within
 * the call, as Deno's does, is it a time at all.
 */
export class Profiler {
  readonly #done: TimedDispatch[] = [];
  /** Where the ticks of dispatches that were submitted will be. */
  readonly #pending: { resolved: GPUBuffer; staging: GPUBuffer; dispatches: Untimed[] }[] = [];
  readonly #sets: GPUQuerySet[] = [];
  #clock = { tick: 0n, ms: 0, msPerTick: 1e-6 };

  private constructor(
    readonly gpu: Gpu,
    /** How it measures. */
    readonly source: "timestamps" | "waits",
  ) {}

  /** A profiler for `gpu`, by timestamps where the device has them; it then compares clocks for 50 ms. */
  static async open(gpu: Gpu): Promise<Profiler> {
    const hasTimestamps = gpu.device.features.has("timestamp-query");
    const profiler = new Profiler(gpu, hasTimestamps ? "timestamps" : "waits");
    if (hasTimestamps) await profiler.#compareClocks();
    return profiler;
  }

  /**
   * The timer of one pass; {@linkcode Pass} asks for it.
   *
   * @internal
   */
  timePass(label: string): PassTimer {
    const { device } = this.gpu;
    const timed: Untimed[] = [];
    const pieces: GPUCommandBuffer[] = [];
    return {
      begin: (kernel, tensors, flops = 0) => {
        const index = 2 * timed.length;
        timed.push({ kernel: kernel.label, pass: label, ...work(kernel, tensors), flops });
        return this.source === "waits" ? {} : {
          timestampWrites: {
            querySet: this.#set(Math.floor(index / SET_SIZE)),
            beginningOfPassWriteIndex: index % SET_SIZE,
            endOfPassWriteIndex: index % SET_SIZE + 1,
          },
        };
      },
      end: (encoder) => {
        if (this.source === "timestamps") return encoder;
        pieces.push(encoder.finish());
        return device.createCommandEncoder({ label });
      },
      finish: (encoder) => {
        if (this.source === "timestamps") return this.#resolve(encoder, timed);
        timed.forEach((dispatch, i) => {
          const startMs = performance.now();
          device.queue.submit([pieces[i]]);
          void device.queue.onSubmittedWorkDone();
          this.#done.push({ ...dispatch, startMs, ms: performance.now() - startMs });
        });
      },
    };
  }

  /** Waits for what was submitted, and gives every dispatch since the last call in the order recorded. */
  async collect(): Promise<TimedDispatch[]> {
    for (const { resolved, staging, dispatches } of this.#pending.splice(0)) {
      await staging.mapAsync(1);
      const ticks = new BigUint64Array(staging.getMappedRange().slice(0));
      for (const buffer of [resolved, staging]) buffer.destroy();
      const { tick, ms, msPerTick } = this.#clock;
      dispatches.forEach((dispatch, i) =>
        this.#done.push({
          ...dispatch,
          startMs: ms + Number(ticks[2 * i] - tick) * msPerTick,
          ms: Number(ticks[2 * i + 1] - ticks[2 * i]) * msPerTick,
        })
      );
    }
    return this.#done.splice(0);
  }

  #set(index: number): GPUQuerySet {
    return this.#sets[index] ??= this.gpu.device.createQuerySet({
      type: "timestamp",
      count: SET_SIZE,
    });
  }

  /** Records the copy of a pass's ticks into buffers that `collect` reads. */
  #resolve(encoder: GPUCommandEncoder, timed: readonly Untimed[]): void {
    const { device } = this.gpu;
    for (let from = 0, set = 0; from < timed.length; from += SET_SIZE / 2, set++) {
      const dispatches = timed.slice(from, from + SET_SIZE / 2);
      const size = 16 * dispatches.length;
      const resolved = device.createBuffer({ label: "ticks", size, usage: RESOLVE_USAGE });
      const staging = device.createBuffer({ label: "ticks", size, usage: STAGING_USAGE });
      encoder.resolveQuerySet(this.#set(set), 0, 2 * dispatches.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
      this.#pending.push({ resolved, staging, dispatches });
    }
  }

  /**
   * WebGPU says that ticks are nanoseconds; a runtime may give the adapter's own unit all the same. So two are taken
   * 50 ms apart.
   */
  async #compareClocks(): Promise<void> {
    const first = await this.#look();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = await this.#look();
    const msPerTick = (second.ms - first.ms) / Number(second.tick - first.tick);
    const isNanoseconds = Math.abs(msPerTick / 1e-6 - 1) < 0.2;
    this.#clock = { ...first, msPerTick: isNanoseconds ? 1e-6 : msPerTick };
  }

  /** The adapter's clock and the host's at about the same moment. */
  async #look(): Promise<{ tick: bigint; ms: number }> {
    const { device } = this.gpu;
    const encoder = device.createCommandEncoder({ label: "clock" });
    encoder.beginComputePass({
      timestampWrites: {
        querySet: this.#set(0),
        beginningOfPassWriteIndex: 0,
        endOfPassWriteIndex: 1,
      },
    }).end();
    const resolved = device.createBuffer({ size: 16, usage: RESOLVE_USAGE });
    const staging = device.createBuffer({ size: 16, usage: STAGING_USAGE });
    encoder.resolveQuerySet(this.#set(0), 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    const ms = performance.now();
    await staging.mapAsync(1);
    const [tick] = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.destroy();
    resolved.destroy();
    return { tick, ms };
  }
}

/** What a pass does around its dispatches while it is timed. */
export interface PassTimer {
  /** What to begin the next dispatch's compute pass with. */
  begin(
    kernel: Kernel,
    tensors: Readonly<Record<string, Tensor<Dtype> | undefined>>,
    flops?: number,
  ): Pick<GPUComputePassDescriptor, "timestampWrites">;
  /** After a dispatch; gives the encoder to go on with. */
  end(encoder: GPUCommandEncoder): GPUCommandEncoder;
  /** Before the pass is submitted. */
  finish(encoder: GPUCommandEncoder): void;
}

/** Shapes and bytes of a dispatch's tensors; what may be read and written counts twice. */
function work(
  kernel: Kernel,
  tensors: Readonly<Record<string, Tensor<Dtype> | undefined>>,
): { shape: string; bytes: number } {
  const shapes = new Set<string>();
  let bytes = 0;
  for (const [name, access] of Object.entries(kernel.bindings)) {
    const tensor = tensors[name];
    if (!tensor) continue;
    if (!access.endsWith("?")) shapes.add(`(${tensor.shape.join(", ")})`);
    bytes += 4 * tensor.size * (READ_AND_WRITTEN.includes(access) ? 2 : 1);
  }
  return { shape: [...shapes].join(" "), bytes };
}

const READ_AND_WRITTEN: readonly Access[] = ["add", "update"];
