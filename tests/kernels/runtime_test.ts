import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import common from "../../kernels/common.wgsl" with { type: "text" };
import {
  Arena,
  compileKernels,
  DeviceLostError,
  dryWebGpu,
  Gpu,
  GpuMemoryError,
  GpuUnavailableError,
  type GpuWatcher,
  kernel,
  type Pass,
  type PlannedKernel,
  ShapeError,
  type SubmittedPass,
  type Tensor,
} from "../../kernels/runtime/mod.ts";
import { mapped, mapsAtOnce, stagingBuffer } from "../../kernels/runtime/mapping.ts";
import { withGpu } from "../helpers/gpu.ts";

/** Writes a number from its uniform, at PLACE: every number is a uniform and a bind group of its own. */
const put = kernel({
  label: "put",
  code: `
    struct Params { value: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read_write> out: array<u32>;
    override PLACE: u32 = 0;
    @compute @workgroup_size(1) fn put() { out[PLACE] = params.value; }
  ` + common,
  entry: "put",
  bindings: { out: "write" },
  params: { value: "u32" },
});

function record(pass: Pass, out: Tensor<"u32">, value: number): void {
  pass.dispatch(put, { tensors: { out }, params: { value }, workgroups: [1] });
}

Deno.test("a long run of ever new numbers keeps bind groups and uniforms bounded", () =>
  withGpu(async (gpu) => {
    const { pipelines, device } = gpu;
    const buffers = { made: 0, destroyed: 0 };
    const { createBuffer } = device;
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer.call(device, descriptor);
      if (descriptor.label !== "params") return buffer;
      buffers.made++;
      const { destroy } = buffer;
      buffer.destroy = () => (buffers.destroyed++, destroy.call(buffer));
      return buffer;
    };
    const out = gpu.empty([1], "u32");
    const rounds = 5;
    for (let round = 0; round < rounds; round++) {
      const pass = gpu.record();
      for (let value = 0; value <= pipelines.mostBindGroups; value++) {
        record(pass, out, 10_000 * round + value);
      }
      pass.submit();
      assertEquals(await gpu.read(out), Uint32Array.of(10_000 * round + pipelines.mostBindGroups));
    }
    const perRound = Math.ceil((pipelines.mostBindGroups + 1) / 256);
    assertEquals(buffers, { made: rounds * perRound, destroyed: (rounds - 1) * perRound });
    gpu.free(out);
  }));

Deno.test("a pass that is being recorded keeps its uniforms while others are dropped", () =>
  withGpu(async (gpu) => {
    const [early, late] = [gpu.empty([1], "u32"), gpu.empty([1], "u32")];
    const open = gpu.record();
    record(open, early, 7);
    const pass = gpu.record();
    for (let value = 0; value <= gpu.pipelines.mostBindGroups; value++) {
      record(pass, late, 1000 + value);
    }
    pass.submit();
    open.submit();
    assertEquals(await gpu.read(early), Uint32Array.of(7));
    gpu.free(early, late);
  }));

Deno.test("a pass with much work runs it in parts, in order", () =>
  withGpu(async (gpu) => {
    const out = gpu.empty([1], "u32");
    const copies = gpu.empty([4], "u32");
    const before = gpu.submits;
    const pass = gpu.record();
    for (const value of [1, 2, 3, 4]) {
      pass.dispatch(put, { tensors: { out }, params: { value }, workgroups: [1], flops: 3e10 });
      pass.copy(out, copies.rows(value - 1, value));
    }
    assertEquals(gpu.submits - before, 1); // the first two
    pass.submit();
    assertEquals(gpu.submits - before, 2);
    assertEquals(await gpu.read(copies), new Uint32Array([1, 2, 3, 4]));
    gpu.free(out, copies);
  }));

Deno.test("a slot that grows gives its old memory back, at once where no unfinished pass uses it", () =>
  withGpu(async (gpu) => {
    using arena = new Arena(gpu, "test");
    const pass = gpu.record();
    const small = arena.take("slot", [64], "u32");
    record(pass, small, 1);
    arena.take("slot", [128], "u32");
    assertEquals(gpu.liveBytes, 256 + 512);
    pass.submit();
    assertEquals(gpu.liveBytes, 512);
    const large = arena.take("slot", [192], "u32");
    assertEquals(gpu.liveBytes, 768);
    const next = gpu.record();
    record(next, large, 7);
    next.submit();
    assertEquals((await gpu.read(large))[0], 7);
    assertEquals(arena.slotBytes, new Map([["slot", 768]]));
  }));

Deno.test("dryWebGpu() allocates, checks and reads zeros, and computes nothing", async () => {
  const webgpu = dryWebGpu({ bindingBytes: 1024, bufferBytes: 4096 });
  using gpu = await Gpu.open({ webgpu });
  const out = gpu.tensor([5], [1], "u32");
  const pass = gpu.record();
  record(pass, out, 7);
  pass.submit();
  assertEquals(await gpu.read(out), Uint32Array.of(0));
  assertEquals([gpu.liveBytes, gpu.bindingBytes], [256, 1024]);
  assertThrows(() => gpu.empty([1025]), GpuMemoryError, "the adapter allows 4096 bytes");
  const wide = gpu.empty([257], "u32");
  assertThrows(() => record(gpu.record(), wide, 1), ShapeError, "one binding may have 1024");
});

Deno.test("a lost device is said by every read and submit that follows", async () => {
  using gpu = await Gpu.open();
  const out = gpu.tensor([1], [1], "u32");
  gpu.device.destroy();
  await assertRejects(() => gpu.read(out), DeviceLostError, "The GPU was lost (destroyed)");
  const pass = gpu.record();
  record(pass, out, 1);
  assertThrows(() => pass.submit(), DeviceLostError);
});

Deno.test("memory that the GPU does not have is said as such", async () => {
  using gpu = await Gpu.open();
  const out = gpu.tensor([1], [1], "u32");
  const error = new GPUOutOfMemoryError("not enough memory left");
  gpu.device.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
  await assertRejects(() => gpu.read(out), GpuMemoryError, "no memory left: not enough memory");
});

Deno.test("compileKernels() leaves nothing to compile, and counts what it has done", () =>
  withGpu(async (gpu) => {
    const planned: PlannedKernel[] = [0, 1, 2].map((
      place,
    ) => [put, { constants: { PLACE: place } }]);
    const counts: number[] = [];
    await compileKernels(gpu, planned, (count) => counts.push(count));
    assertEquals(counts, [1, 2, 3]);
    assertEquals([...gpu.pipelines.compiled()].length, 3);
    const out = gpu.tensor([0, 0, 0], [3], "u32");
    const pass = gpu.record();
    for (const [kernel, specialisation] of planned) {
      const dispatch = { tensors: { out }, params: { value: 7 }, workgroups: [1] as const };
      pass.dispatch(kernel, { ...dispatch, ...specialisation });
    }
    pass.submit();
    assertEquals(await gpu.read(out), Uint32Array.of(7, 7, 7));
    assertEquals(gpu.counts.pipelines, 3);
    gpu.free(out);
  }));

Deno.test("compileKernels() compiles on other devices too where the adapter is a program on the CPU", async () => {
  using gpu = await Gpu.open();
  const others: Gpu[] = [];
  const { another } = gpu;
  gpu.another = async () => {
    const other = await another.call(gpu);
    others.push(other);
    return other;
  };
  const planned: PlannedKernel[] = [0, 1, 2, 3].map((
    place,
  ) => [put, { constants: { PLACE: place } }]);
  await compileKernels(gpu, planned);
  const count = gpu.software ? Math.min(navigator.hardwareConcurrency, 4) : 1;
  assertEquals(others.length, count - 1);
  for (const { counts } of others) assert(counts.pipelines >= 1);
  for (const { device } of others) assertEquals((await device.lost).reason, "destroyed");
  assertEquals(gpu.counts.pipelines, 4);

  gpu.another = () => Promise.reject(new GpuUnavailableError("no more"));
  await compileKernels(gpu, [4, 5].map((place) => [put, { constants: { PLACE: place } }]));
  assertEquals(gpu.counts.pipelines, 6);
});

Deno.test("a watcher hears what the host waits for", async () => {
  const events: string[] = [];
  const show = ({ label, kernels }: SubmittedPass) =>
    `${label} (${[...kernels].map(([name, count]) => `${count} x ${name}`)})`;
  const watcher: GpuWatcher = {
    waitBegins: (passes) => events.push(passes.map(show).join("; ")),
    waitEnds: () => events.push("done"),
  };
  await withGpu(async (gpu) => {
    const out = gpu.empty([1], "u32");
    for (const values of [[1, 2], [3]]) {
      const pass = gpu.record(`writes ${values}`);
      for (const value of values) record(pass, out, value);
      pass.submit();
    }
    await gpu.read(out);
    await gpu.read(out); // nothing was submitted since
    gpu.device.destroy();
    await assertRejects(() => gpu.read(out), DeviceLostError);
    gpu.free(out);
  }, { watcher }).catch((error) => assert(error instanceof DeviceLostError));
  assertEquals(events, [
    "writes 1,2 (2 x put)", // a submit may wait
    "done",
    "writes 1,2 (2 x put); writes 3 (1 x put)",
    "done",
    "writes 1,2 (2 x put); writes 3 (1 x put)", // a read does
    "done",
    "",
    "done",
    "",
    "done",
  ]);
});

Deno.test("mapsAtOnce() holds in Deno, and reads see what was written last", () =>
  withGpu(async (gpu) => {
    assertEquals(
      await mapsAtOnce(gpu.device),
      true,
      "Deno waits for the GPU within mapAsync no more",
    );
    const x = gpu.tensor([0]);
    for (let i = 1; i <= 100; i++) {
      gpu.write(x, [i]);
      assertEquals(await gpu.read(x), Float32Array.of(i));
    }
    gpu.free(x);
  }));

Deno.test("mapsAtOnce() is false, and mapped() waits, where a mapping takes its time", () =>
  withGpu(async ({ device }) => {
    /** A device whose buffers can be read only once their promise has resolved, as WebGPU says. */
    const patient = {
      queue: device.queue,
      createCommandEncoder: () => device.createCommandEncoder(),
      createBuffer: (descriptor: GPUBufferDescriptor) => {
        const buffer = device.createBuffer(descriptor);
        let isMapped = false;
        const { mapAsync, getMappedRange } = buffer;
        buffer.mapAsync = async (mode) => {
          await mapAsync.call(buffer, mode);
          isMapped = true;
        };
        buffer.getMappedRange = () => {
          if (!isMapped) throw new DOMException("not mapped", "OperationError");
          return getMappedRange.call(buffer);
        };
        return buffer;
      },
    } as unknown as GPUDevice;
    assertEquals(await mapsAtOnce(patient), false);
    for (const atOnce of [false, true]) {
      const staging = stagingBuffer(patient, 16);
      assertEquals((await mapped(staging, atOnce)).byteLength, 16);
      staging.destroy();
    }
  }));

Deno.test("timers have their turn between reads", () =>
  withGpu(async (gpu) => {
    const x = gpu.tensor([0]);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    for (let i = 0; i < 100; i++) await gpu.read(x);
    clearInterval(timer);
    assertEquals(ticks > 3, true, `${ticks} ticks`);
    gpu.free(x);
  }));
