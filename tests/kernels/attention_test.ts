import { assert, assertEquals, assertThrows } from "@std/assert";
import { attentionBackward, attentionForward } from "../../kernels/attention.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
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
  "one row more than 32 and 64 lanes": { B: 1, T: 65, heads: 2, headSize: 12, keys: [0, 65] },
  "head size 64": { B: 1, T: 33, heads: 1, headSize: 64, keys: [0, 33] },
  "head size 128": { B: 1, T: 11, heads: 1, headSize: 128, keys: [0, 11] },
  "head size 1": { B: 1, T: 9, heads: 5, headSize: 1, keys: [0, 9] },
  "head size 5": { B: 3, T: 13, heads: 3, headSize: 5, keys: [0, 13, 4, 13, 0, 9] },
  "head size 7": { B: 2, T: 10, heads: 1, headSize: 7, keys: [1, 10, 0, 10] },
  "left padding": { B: 3, T: 21, heads: 2, headSize: 8, keys: [5, 21, 20, 21, 8, 21] },
  "a sequence that is all padding": { B: 2, T: 9, heads: 2, headSize: 8, keys: [9, 9, 0, 9] },
  "right padding": { B: 2, T: 19, heads: 2, headSize: 8, keys: [0, 11, 3, 16] },
  "both directions": {
    B: 4,
    T: 18,
    heads: 2,
    headSize: 8,
    keys: [0, 18, 0, 7, 6, 18, 0, 0],
    causal: false,
  },
  "a window of one token": { B: 2, T: 11, heads: 2, headSize: 8, keys: [0, 11, 4, 9], window: 1 },
  "a window that ends within a tile": {
    B: 3,
    T: 71,
    heads: 2,
    headSize: 8,
    keys: [0, 71, 40, 71, 3, 50],
    window: 19,
  },
  "a window of a workgroup's rows": {
    B: 1,
    T: 65,
    heads: 1,
    headSize: 4,
    keys: [0, 65],
    window: 8,
  },
  "a window as wide as the row": { B: 1, T: 9, heads: 1, headSize: 4, keys: [0, 9], window: 9 },
  "a window wider than the row": { B: 1, T: 9, heads: 1, headSize: 4, keys: [2, 9], window: 4e9 },
  "a window in both directions": {
    B: 2,
    T: 18,
    heads: 1,
    headSize: 5,
    keys: [0, 18, 3, 11],
    causal: false,
    window: 4,
  },
  "a scale of one": { B: 1, T: 12, heads: 2, headSize: 8, keys: [0, 12], scale: 1 },
};

/** Minutes of LLVM where every lane reads workgroup memory by itself; the kernel's text is the same. */
const slow = (name: string) =>
  name === "head size 64" && Deno.env.get("KL_GUARD_SUBGROUPS") === "off";

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
  Deno.test({
    name: `attentionForward() and attentionBackward() match the f64 reference: ${name}`,
    ignore: slow(name),
    fn: () =>
      withGpu(async (gpu) => {
        const { x, dy } = inputs(sizes);
        const actual = await forward(gpu, x, sizes);
        const expected = reference.attention(x, sizes);
        assertClose(actual.out, expected.out, CLOSE, "out");
        assertClose(actual.lse, expected.lse, CLOSE, "lse");
        const gradient = reference.attentionBackward(x, dy, sizes);
        assertClose(await backward(gpu, x, dy, sizes), gradient, CLOSE_GRADIENT, "dqkv");
      }),
  });
}

Deno.test("the reference's gradient agrees with central differences", () => {
  const keys = [1, 5, 0, 3];
  for (const causal of [true, false]) {
    for (const window of [0, 2]) {
      const sizes = { B: 2, T: 5, heads: 2, headSize: 3, keys, causal, window };
      const { x, dy } = inputs(sizes);
      const loss = (at: Float64Array) =>
        reference.attention(at, sizes).out.reduce((sum, y, i) => sum + y * dy[i], 0);
      const expected = numericGradient(loss, x);
      assertClose(reference.attentionBackward(x, dy, sizes), expected, { atol: 1e-8 });
    }
  }
});

Deno.test("attentionForward() and attentionBackward() survive scores of 1e5", () =>
  withGpu(async (gpu) => {
    const sizes = { B: 1, T: 20, heads: 2, headSize: 8, keys: [3, 20] };
    const { x, dy } = inputs(sizes);
    const large = x.map((xi) => 300 * xi);
    const { out, lse } = await forward(gpu, large, sizes);
    const expected = reference.attention(large, sizes);
    // One rounding of a score of 1e5 moves its weight by 1e-2; most rows have a weight of exactly one.
    assertClose(out, expected.out, { atol: 3, rtol: 1e-2 }, "out");
    assertClose(lse, expected.lse, { atol: 0.05, rtol: 1e-6 }, "lse");
    assert((await backward(gpu, large, dy, sizes)).every(Number.isFinite));
  }));

/** Rows `start` to `stop` of sequence b of a (B, T, width) array. */
function rowsOf(
  data: ArrayLike<number>,
  T: number,
  width: number,
  b: number,
  start: number,
  stop: number,
): number[] {
  return Array.from(data).slice((b * T + start) * width, (b * T + stop) * width);
}

Deno.test("attentionForward() gives a row the same bits in any batch and under any padding", () =>
  withGpu(async (gpu) => {
    const heads = 2;
    const headSize = 8;
    const C = heads * headSize;
    const tokens = 37;
    const x = randn(tokens * 3 * C, 3);
    const one = { B: 1, T: tokens, heads, headSize, keys: [0, tokens] };
    for (
      const { left, right, window } of [
        { left: 0, right: 40, window: 0 },
        { left: 1, right: 0, window: 0 },
        { left: 13, right: 7, window: 0 },
        { left: 13, right: 7, window: 9 },
      ]
    ) {
      const alone = await forward(gpu, x, { ...one, window });
      const T = left + tokens + right;
      const padded = randn(3 * T * 3 * C, 4);
      padded.set(x, (T + left) * 3 * C);
      const keys = [0, T, left, left + tokens, T, T];
      const { out } = await forward(gpu, padded, { B: 3, T, heads, headSize, keys, window });
      const row = rowsOf(out, T, C, 1, left, left + tokens);
      assertEquals(row, Array.from(alone.out), `${left} columns before, ${right} after`);
    }
  }));

Deno.test("keys outside of the window of every row of a workgroup are not even read", () =>
  withGpu(async (gpu) => {
    const [T, C] = [200, 4];
    const sizes = { B: 1, T, heads: 1, headSize: C, keys: [0, T], window: 3 };
    const { x, dy } = inputs(sizes);
    const near = 3 * C * (T - 64 - 2); // what the last 64 rows see, a workgroup at most
    const far = x.map((xi, i) => i < 3 * C * 64 ? NaN : xi); // where they would be multiplied by 0
    const [{ out }, { out: expected }] = [
      await forward(gpu, far, sizes),
      reference.attention(x, sizes),
    ];
    assertClose(out.slice(near / 3 + 2 * C), expected.slice(near / 3 + 2 * C), CLOSE, "out");
    const gradient = reference.attentionBackward(x, dy, sizes);
    assertClose(
      (await backward(gpu, far, dy, sizes)).slice(near),
      gradient.slice(near),
      CLOSE_GRADIENT,
    );
  }));

Deno.test("attentionBackward() gives the same bits twice", () =>
  withGpu(async (gpu) => {
    const { x, dy } = inputs(CASES["left padding"]);
    const once = await backward(gpu, x, dy, CASES["left padding"]);
    assertEquals(await backward(gpu, x, dy, CASES["left padding"]), once);
  }));

Deno.test("attentionForward() and attentionBackward() refuse wrong shapes", () =>
  withGpu((gpu) => {
    const tensors = {
      qkv: gpu.empty([2, 3, 24]),
      keys: gpu.empty([2, 2], "u32"),
      out: gpu.empty([2, 3, 8]),
      lse: gpu.empty([2, 2, 3]),
      dout: gpu.empty([2, 3, 8]),
      delta: gpu.empty([2, 2, 3]),
      dqkv: gpu.empty([2, 3, 24]),
    };
    const wrong = gpu.empty([2, 3, 7]);
    const wrongKeys = gpu.empty([3, 2], "u32");
    const pass = gpu.record();
    for (const key of ["qkv", "out", "lse", "dout", "delta", "dqkv"]) {
      const bad = { ...tensors, [key]: wrong };
      assertThrows(() => attentionBackward(pass, bad, { heads: 2 }), ShapeError, key);
      if (["qkv", "out", "lse"].includes(key)) {
        assertThrows(() => attentionForward(pass, bad, { heads: 2 }), ShapeError, key);
      }
    }
    const gaps = { ...tensors, out: tensors.qkv.columns(0, 8) };
    assertThrows(() => attentionForward(pass, gaps, { heads: 2 }), ShapeError, "out");
    const bad = { ...tensors, keys: wrongKeys };
    assertThrows(() => attentionForward(pass, bad, { heads: 2 }), ShapeError, "keys");
    assertThrows(() => attentionForward(pass, tensors, { heads: 3 }), ShapeError, "heads");
    gpu.free(...Object.values(tensors), wrong, wrongKeys);
  }));
