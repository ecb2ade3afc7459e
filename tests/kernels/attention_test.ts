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

/** The rows of a (B, T, width) array that are no padding, one after another. */
function withoutPadding(
  data: ArrayLike<number>,
  { B, T, keys }: reference.Case,
  width: number,
): Float32Array<ArrayBuffer> {
  const of = (b: number) =>
    Array.from(data).slice((b * T + keys[2 * b]) * width, (b * T + keys[2 * b + 1]) * width);
  return Float32Array.from(Array.from({ length: B }, (_, b) => of(b)).flat());
}

/** A (B, NH, T) array as (NH, N), without padding. */
function perHead(data: ArrayLike<number>, sizes: reference.Case): Float32Array {
  const { B, T, heads } = sizes;
  const ofHead = (head: number) =>
    Array.from(data).filter((_, i) => Math.floor(i / T) % heads === head);
  return Float32Array.from(
    Array.from({ length: heads }, (_, head) => [
      ...withoutPadding(ofHead(head), { ...sizes, B }, 1),
    ]).flat(),
  );
}

/** All tensors of both directions; the results are NaN at first. */
function tensorsOf(gpu: Gpu, x: ArrayLike<number>, dy: ArrayLike<number>, sizes: reference.Case) {
  const { B, keys, heads, headSize } = sizes;
  const C = heads * headSize;
  const lengths = Array.from({ length: B }, (_, b) => keys[2 * b + 1] - keys[2 * b]);
  const N = lengths.reduce((sum, length) => sum + length, 0);
  let start = 0;
  const bounds = lengths.flatMap((length) => [start, start += length]);
  const unknown = (shape: number[]) =>
    gpu.tensor(new Float32Array(shape[0] * shape[1]).fill(NaN), shape);
  return {
    qkv: gpu.tensor(withoutPadding(x, sizes, 3 * C), [N, 3 * C]),
    sequences: { bounds: gpu.tensor(bounds, [B, 2], "u32"), lengths },
    out: unknown([N, C]),
    lse: unknown([heads, N]),
    dout: gpu.tensor(withoutPadding(dy, sizes, C), [N, C]),
    delta: unknown([heads, N]),
    dqkv: unknown([N, 3 * C]),
  };
}

/** Both directions on the GPU, without padding. */
async function attend(
  gpu: Gpu,
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  sizes: reference.Case,
): Promise<Record<"out" | "lse" | "dqkv", Float32Array>> {
  const tensors = tensorsOf(gpu, x, dy, sizes);
  const { qkv, sequences, out, lse, dout, delta, dqkv } = tensors;
  const pass = gpu.record();
  attentionForward(pass, { qkv, sequences, out, lse }, sizes);
  attentionBackward(pass, tensors, sizes);
  pass.submit();
  const results = {
    out: await gpu.read(out),
    lse: await gpu.read(lse),
    dqkv: await gpu.read(dqkv),
  };
  gpu.free(qkv, sequences.bounds, out, lse, dout, delta, dqkv);
  return results;
}

/** The same by the reference, to which padding has no gradient. */
function attendByReference(x: ArrayLike<number>, dy: ArrayLike<number>, sizes: reference.Case) {
  const { T, keys, heads, headSize } = sizes;
  const C = heads * headSize;
  const isToken = (i: number) => {
    const [b, t] = [Math.floor(i / (C * T)), Math.floor(i / C) % T];
    return t >= keys[2 * b] && t < keys[2 * b + 1];
  };
  const { out, lse } = reference.attention(x, sizes);
  const dqkv = reference.attentionBackward(x, Array.from(dy, (d, i) => isToken(i) ? d : 0), sizes);
  return {
    out: withoutPadding(out, sizes, C),
    lse: perHead(lse, sizes),
    dqkv: withoutPadding(dqkv, sizes, 3 * C),
  };
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
        const actual = await attend(gpu, x, dy, sizes);
        const expected = attendByReference(x, dy, sizes);
        assertClose(actual.out, expected.out, CLOSE, "out");
        assertClose(actual.lse, expected.lse, CLOSE, "lse");
        assertClose(actual.dqkv, expected.dqkv, CLOSE_GRADIENT, "dqkv");
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
    const { out, lse, dqkv } = await attend(gpu, large, dy, sizes);
    const expected = attendByReference(large, dy, sizes);
    // One rounding of a score of 1e5 moves its weight by 1e-2; most rows have a weight of exactly one.
    assertClose(out, expected.out, { atol: 3, rtol: 1e-2 }, "out");
    assertClose(lse, expected.lse, { atol: 0.05, rtol: 1e-6 }, "lse");
    assert(dqkv.every(Number.isFinite));
  }));

Deno.test("attentionForward() and attentionBackward() give a sequence the same bits in any company", () =>
  withGpu(async (gpu) => {
    const [heads, headSize, tokens] = [2, 8, 37];
    const C = heads * headSize;
    const [x, dy] = [randn(tokens * 3 * C, 3), randn(tokens * C, 5)];
    const one = { B: 1, T: tokens, heads, headSize, keys: [0, tokens] };
    const others = [
      { before: 77, after: 0, window: 0 },
      { before: 1, after: 0, window: 0 },
      { before: 13, after: 50, window: 0 },
      { before: 0, after: 44, window: 9 },
    ];
    for (const { before, after, window } of others) {
      const alone = await attend(gpu, x, dy, { ...one, window });
      const T = Math.max(before, tokens, after);
      const [manyX, manyDy] = [randn(3 * T * 3 * C, 4), randn(3 * T * C, 6)];
      manyX.set(x, T * 3 * C);
      manyDy.set(dy, T * C);
      const keys = [0, before, 0, tokens, 0, after];
      const { out, dqkv } = await attend(gpu, manyX, manyDy, { ...one, B: 3, T, keys, window });
      const own = (data: Float32Array, width: number) =>
        data.slice(before * width, (before + tokens) * width);
      assertEquals(own(out, C), alone.out, `${before} tokens before, ${after} after`);
      assertEquals(own(dqkv, 3 * C), alone.dqkv, `${before} tokens before, ${after} after`);
    }
  }));

Deno.test("keys outside of the window of every row of a workgroup are not even read", () =>
  withGpu(async (gpu) => {
    const [T, C] = [200, 4];
    const sizes = { B: 1, T, heads: 1, headSize: C, keys: [0, T], window: 3 };
    const { x, dy } = inputs(sizes);
    const near = 3 * C * (T - 64 - 2); // what the last 64 rows see, a workgroup at most
    const far = x.map((xi, i) => i < 3 * C * 64 ? NaN : xi); // where they would be multiplied by 0
    const actual = await attend(gpu, far, dy, sizes);
    const expected = attendByReference(x, dy, sizes);
    const last = near / 3 + 2 * C;
    assertClose(actual.out.slice(last), expected.out.slice(last), CLOSE, "out");
    assertClose(actual.dqkv.slice(near), expected.dqkv.slice(near), CLOSE_GRADIENT, "dqkv");
  }));

Deno.test("attentionBackward() gives the same bits twice", () =>
  withGpu(async (gpu) => {
    const { x, dy } = inputs(CASES["left padding"]);
    const once = await attend(gpu, x, dy, CASES["left padding"]);
    assertEquals(await attend(gpu, x, dy, CASES["left padding"]), once);
  }));

Deno.test("attentionForward() and attentionBackward() refuse wrong shapes", () =>
  withGpu((gpu) => {
    const sizes = { B: 2, T: 3, heads: 2, headSize: 4, keys: [0, 3, 0, 2] };
    const { x, dy } = inputs(sizes);
    const tensors = tensorsOf(gpu, x, dy, sizes);
    const { sequences, ...others } = tensors;
    const wrong = gpu.empty([5, 7]);
    const wrongBounds = gpu.empty([3, 2], "u32");
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
    const bad = { ...tensors, sequences: { ...sequences, bounds: wrongBounds } };
    assertThrows(() => attentionForward(pass, bad, { heads: 2 }), ShapeError, "bounds");
    const more = { ...tensors, sequences: { ...sequences, lengths: [3, 3] } };
    assertThrows(() => attentionForward(pass, more, { heads: 2 }), ShapeError, "qkv");
    assertThrows(() => attentionForward(pass, tensors, { heads: 3 }), ShapeError, "heads");
    gpu.free(...Object.values(others), sequences.bounds, wrong, wrongBounds);
  }));
