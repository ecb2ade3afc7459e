import { attentionBackward, attentionForward } from "../../kernels/attention.ts";
import { attentionDecode } from "../../kernels/attention_decode.ts";
import { Gpu, type Pass } from "../../kernels/runtime/mod.ts";
import { randn } from "../helpers/close.ts";

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
  const qkv = gpu.tensor(randn(B * T * 3 * C, 1), [B, T, 3 * C]);
  const keys = gpu.tensor(Array.from({ length: 2 * B }, (_, i) => i % 2 * T), [B, 2], "u32");
  const out = gpu.empty([B, T, C]);
  const lse = gpu.empty([B, heads, T]);
  const dout = gpu.tensor(randn(B * T * C, 2), [B, T, C]);
  const delta = gpu.empty([B, heads, T]);
  const dqkv = gpu.empty([B, T, 3 * C]);
  const cache = gpu.tensor(randn(B * T * 2 * C, 3), [B, T, 2 * C]);
  const position = gpu.tensor([T - 1], [1], "u32");

  const group = `(${B}, ${T}, ${heads} x ${headSize})`;
  const forward = { qkv, keys, out, lse };
  const backward = { ...forward, dout, delta, dqkv };
  const decode = {
    qkv: qkv.view([B * T, 3 * C]).rows(0, B),
    cache,
    keys,
    position,
    out: out.view([B * T, C]).rows(0, B),
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
