/** A program that waits for the GPU, guarded by a Sentinel: `long_wait.ts SECONDS ROUNDS`, the time-out and the work. */
import { Gpu, kernel } from "../../kernels/runtime/mod.ts";
import { Sentinel } from "../../train/sentinel.ts";

/**
 * Takes seconds on a processor: every turn needs the one before. Many workgroups, since old llvmpipe ends an
 * invocation after 65,535 turns.
 */
const spin = kernel({
  label: "spin",
  code: `
    struct Params { turns: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read_write> out: array<u32>;
    @compute @workgroup_size(1) fn spin() {
      var x = out[0];
      for (var i = 0u; i < params.turns; i++) { x = (x ^ (x >> 3u)) * 1664525u + i; }
      out[0] = x;
    }
  `,
  entry: "spin",
  bindings: { out: "update" },
  params: { turns: "u32" },
});

const [gpuTimeout, rounds] = Deno.args.map(Number);
using sentinel = new Sentinel({ gpuTimeout, advice: "take a rest" });
using gpu = await Gpu.open({ watcher: sentinel });
const out = gpu.tensor([1], [1], "u32");
await gpu.read(out); // the worker is awake now
await new Promise((resolve) => setTimeout(resolve, 500));
console.log("waiting");
const pass = gpu.record("hang");
for (let round = 0; round < rounds; round++) {
  const params = { turns: 50_000 };
  pass.dispatch(spin, { tensors: { out }, params, workgroups: [20_000] });
}
pass.submit();
await gpu.read(out);
await new Promise((resolve) => setTimeout(resolve, 1000)); // a signal may come late on a fast GPU
console.log(`done, ${sentinel.stop.aborted ? `stopped with ${sentinel.status}` : "not stopped"}`);
gpu.free(out);
