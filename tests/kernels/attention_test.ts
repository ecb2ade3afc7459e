import { attentionBackward, attentionForward } from "../../kernels/attention.ts";
import { type Gpu } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/attention.ts";

/** Sums of up to 1,000 products of order one in f32, and exp() on the GPU good to a few 1e-7. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };
/** The gradient chains three such sums. */
const CLOSE_GRADIENT = { atol: 2e-5, rtol: 2e-5 };

const whole = (B: number, T: number) => Array.from({ length: 2 * B }, (_, i) => i % 2 ? T : 0);

const CASES: Record<string, reference.Case> = {
  "one token": { B: 1, T: 1, heads: 1, headSize: 4, keys: [0, 1] },
  "two rows of the batch, two heads": { B: 2, T: 7, heads: 2, headSize: 16, keys: whole(2, 7) },
  "one less than eight lanes": { B: 1, T: 31, heads: 1, headSize: 32, keys: [0, 31] },
  "one more than 64 lanes": { B: 1, T: 65, heads: 2, headSize: 12, keys: [0, 65] },
  "head size 48": { B: 1, T: 17, heads: 2, headSize: 48, keys: [0, 17] },
  "head size 64": { B: 1, T: 40, heads: 1, headSize: 64, keys: [0, 40] },
  "head size 128": { B: 1, T: 11, heads: 1, headSize: 128, keys: [0, 11] },
  "odd head size 1": { B: 1, T: 9, heads: 5, headSize: 1, keys: [0, 9] },
  "odd head size 5": { B: 3, T: 13, heads: 3, headSize: 5, keys: [0, 13, 4, 13, 0, 9] },
  "odd head size 6": { B: 1, T: 10, heads: 3, headSize: 6, keys: [0, 10] },
  "odd head size 7": { B: 2, T: 10, heads: 1, headSize: 7, keys: [1, 10, 0, 10] },
  "left padding": { B: 3, T: 21, heads: 2, headSize: 8, keys: [5, 21, 20, 21, 8, 21] },
  "a row that is all padding": { B: 2, T: 9, heads: 2, headSize: 8, keys: [9, 9, 0, 9] },
  "right padding": { B: 2, T: 19, heads: 2, headSize: 8, keys: [0, 11, 3, 16] },
  "both directions": {
    B: 3,
    T: 18,
    heads: 2,
    headSize: 8,
    keys: [0, 18, 0, 7, 6, 18],
    causal: false,
  },
  "both directions, all padding": {
    B: 2,
    T: 5,
    heads: 1,
    headSize: 4,
    keys: [0, 0, 0, 5],
    causal: false,
  },
  "a scale of one": { B: 1, T: 12, heads: 2, headSize: 8, keys: [0, 12], scale: 1 },
};

async function forward(gpu: Gpu, x: ArrayLike<number>, sizes: reference.Case) {
  const { B, T, heads, headSize } = sizes;
  const C = heads * headSize;
  const qkv = gpu.tensor(x, [B, T, 3 * C]);
  const keys = gpu.tensor(sizes.keys, [B, 2], "u32");
  const out = gpu.tensor(new Float32Array(B * T * C).fill(NaN), [B, T, C]);
  const lse = gpu.tensor(new Float32Array(B * heads * T).fill(NaN), [B, heads, T]);
  const pass = gpu.record();
  attentionForward(pass, { qkv, keys, out, lse }, sizes);
  pass.submit();
  const [outValues, lseValues] = await gpu.readAll([out, lse]);
  gpu.free(qkv, keys, out, lse);
  return { out: outValues, lse: lseValues };
}

async function backward(
  gpu: Gpu,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  sizes: reference.Case,
) {
  const { B, T, heads, headSize } = sizes;
  const C = heads * headSize;
  const qkv = gpu.tensor(x, [B, T, 3 * C]);
  const keys = gpu.tensor(sizes.keys, [B, 2], "u32");
  const out = gpu.empty([B, T, C]);
  const lse = gpu.empty([B, heads, T]);
  const dout = gpu.tensor(dy, [B, T, C]);
  const delta = gpu.empty([B, heads, T]);
  const dqkv = gpu.tensor(new Float32Array(B * T * 3 * C).fill(NaN), [B, T, 3 * C]);
  const pass = gpu.record();
  attentionForward(pass, { qkv, keys, out, lse }, sizes);
  attentionBackward(pass, { qkv, keys, out, lse, dout, delta, dqkv }, sizes);
  pass.submit();
  const values = await gpu.read(dqkv);
  gpu.free(qkv, keys, out, lse, dout, delta, dqkv);
  return values;
}

function inputs({ B, T, heads, headSize }: reference.Case) {
  const size = B * T * heads * headSize;
  return { x: randn(3 * size, 1), dy: randn(size, 2) };
}

for (const [name, sizes] of Object.entries(CASES)) {
  Deno.test(`attentionForward() and attentionBackward() match the f64 reference: ${name}`, () =>
    withGpu(async (gpu) => {
      const { x, dy } = inputs(sizes);
      const actual = await forward(gpu, x, sizes);
      const expected = reference.attention(x, sizes);
      assertClose(actual.out, expected.out, CLOSE, "out");
      assertClose(actual.lse, expected.lse, CLOSE, "lse");
      const gradient = reference.attentionBackward(x, dy, sizes);
      assertClose(await backward(gpu, x, dy, sizes), gradient, CLOSE_GRADIENT, "dqkv");
    }));
}
