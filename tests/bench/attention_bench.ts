import { attentionBackward, attentionForward } from "../../kernels/attention.ts";
import { attentionDecode } from "../../kernels/attention_decode.ts";
import { Gpu, type Pass } from "../../kernels/runtime/mod.ts";
import { randn } from "../helpers/close.ts";
import { evenSequences } from "../helpers/sequences.ts";

/** Dispatches in one iteration; waiting for them adds about 12 ms to it, whatever they cost. */
const REPEATS = 10;

const gpu = await Gpu.open();

function bench(name: string, group: string, record: (pass: Pass) => void): void {
  Deno.bench(`${name}, ${REPEATS} times`, { group, n: 5, warmup: 1 }, async () => {
    const pass = gpu.record();
    for (let i = 0; i < REPEATS; i++) record(pass);
    pass.submit();
    await gpu.device.queue.onSubmittedWorkDone();
    gpu.check();
  });
}

for (
  const { B, T, heads, headSize } of [
    { B: 32, T: 32, heads: 6, headSize: 32 },
    { B: 32, T: 96, heads: 6, headSize: 32 },
    { B: 32, T: 128, heads: 6, headSize: 32 },
    { B: 1, T: 512, heads: 12, headSize: 64 },
  ]
) {
  const C = heads * headSize;
  const N = B * T;
  const qkv = gpu.tensor(randn(N * 3 * C, 1), [N, 3 * C]);
  const sequences = evenSequences(gpu, B, T);
  const rows = gpu.tensor(Array.from({ length: B }, (_, b) => b), [B], "u32");
  const first = gpu.tensor(Array(B).fill(0), [B], "u32");
  const out = gpu.empty([N, C]);
  const lse = gpu.empty([heads, N]);
  const dout = gpu.tensor(randn(N * C, 2), [N, C]);
  const delta = gpu.empty([heads, N]);
  const dqkv = gpu.empty([N, 3 * C]);
  const cache = gpu.tensor(randn(B * T * 2 * C, 3), [B, T, 2 * C]);
  const position = gpu.tensor([T - 1], [1], "u32");

  const group = `(${B}, ${T}, ${heads} x ${headSize})`;
  const forward = { qkv, sequences, out, lse };
  const backward = { ...forward, dout, delta, dqkv };
  const decode = {
    qkv: qkv.rows(0, B),
    rows,
    cache,
    first,
    position,
    out: out.rows(0, B),
  };
  for (const window of T > 128 ? [0, 64] : [0]) {
    const options = { heads, window };
    const of = (name: string) => window > 0 ? `${name} in a window of ${window}` : name;
    bench(of("attentionForward()"), group, (pass) => attentionForward(pass, forward, options));
    bench(of("attentionBackward()"), group, (pass) => attentionBackward(pass, backward, options));
    bench(
      of("attentionDecode() of the last column"),
      group,
      (pass) => attentionDecode(pass, decode, options),
    );
  }
}
