import { assert, assertEquals } from "@std/assert";
import { matmul } from "../../kernels/matmul.ts";
import { streamCopy } from "../../kernels/peak.ts";
import { countsBetween, type Gpu, type GpuOptions, Profiler } from "../../kernels/runtime/mod.ts";
import { withGpu } from "../helpers/gpu.ts";

/** What a pass of a copy, a clear and two products computes and how its dispatches are timed. */
async function profiledPass(gpu: Gpu) {
  const source = gpu.tensor([1, 2, 3, 4], [2, 2]);
  const [copied, out] = [gpu.empty([2, 2]), gpu.empty([2, 2])];
  const began = performance.now();
  const pass = gpu.record("three");
  streamCopy(pass, { source, copied });
  matmul(pass, { a: source, b: copied, out });
  pass.clear(copied); // after what was recorded before it
  matmul(pass, { a: source, b: copied, out }, { accumulate: true });
  pass.submit();
  const result = await gpu.read(out);
  const ended = performance.now();
  gpu.free(source, copied, out);
  return { result, dispatches: await gpu.profiler?.collect() ?? [], began, ended };
}

for (const timestamps of [true, false]) {
  Deno.test(`a profiler times every dispatch in order${timestamps ? "" : ", by waits"}`, () =>
    withGpu(async (gpu) => {
      const plain = await profiledPass(gpu);
      gpu.profiler = await Profiler.open(gpu);
      if (!timestamps) assertEquals(gpu.profiler.source, "waits");
      const { result, dispatches, began, ended } = await profiledPass(gpu);
      assertEquals(result, plain.result);
      assertEquals(plain.dispatches, []);
      assertEquals(
        dispatches.map(({ kernel, pass, shape, flops, bytes }) => [
          kernel.split(" ")[0],
          pass,
          shape,
          flops,
          bytes,
        ]),
        [
          ["stream_copy", "three", "(2, 2)", 0, 32],
          ["matmul", "three", "(2, 2)", 16, 64],
          ["matmul", "three", "(2, 2)", 16, 64],
        ],
      );
      const slack = 10; // ms by which the clocks of host and adapter may be apart on a busy machine
      let from = began - slack;
      for (const { startMs, ms } of dispatches) {
        assert(startMs >= from && ms > 0, `${startMs} is before ${from}, or ${ms} ms is no time`);
        from = startMs + ms;
      }
      assert(from <= ended + slack, `${from} is after ${ended}`);
      assertEquals(await gpu.profiler.collect(), []);
    }, { timestamps } satisfies GpuOptions));
}

Deno.test("a profiler times passes of more dispatches than a query set holds", () =>
  withGpu(async (gpu) => {
    gpu.profiler = await Profiler.open(gpu);
    const [source, copied] = [gpu.empty([4]), gpu.empty([4])];
    const pass = gpu.record();
    for (let i = 0; i < 2049; i++) streamCopy(pass, { source, copied });
    pass.submit();
    const dispatches = await gpu.profiler.collect();
    assertEquals(dispatches.length, 2049);
    assert(dispatches[2048].startMs > dispatches[0].startMs);
    gpu.free(source, copied);
  }, { timestamps: true }));

Deno.test("a Gpu counts what it is asked to do", () =>
  withGpu(async (gpu) => {
    const before = { ...gpu.counts };
    const [source, copied] = [gpu.tensor([1, 2, 3, 4]), gpu.empty([4])];
    for (let i = 0; i < 2; i++) {
      const pass = gpu.record();
      streamCopy(pass, { source, copied });
      streamCopy(pass, { source, copied });
      pass.submit();
    }
    await gpu.readAll([source, copied]);
    gpu.free(source, copied);
    assertEquals(countsBetween(before, gpu.counts), {
      dispatches: 4,
      submits: 3, // the read-back is one
      pipelines: 1,
      bindGroups: 1,
      buffers: 3, // of these one for uniforms
      reads: 1,
      readBytes: 32,
      writes: 1,
      writtenBytes: 16,
    });
  }));
