import { assertEquals, assertThrows } from "@std/assert";
import { attentionForward } from "../../kernels/attention.ts";
import { attentionDecode } from "../../kernels/attention_decode.ts";
import { kvStore } from "../../kernels/kv_store.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import * as reference from "../reference/attention.ts";

/** Sums of up to 200 products of order one in f32, and exp() on the GPU good to a few 1e-7. */
const CLOSE = { atol: 3e-6, rtol: 3e-6 };

interface Sizes {
  B: number;
  heads: number;
  headSize: number;
  columns: number;
  prompt: number;
  first: number[];
  window?: number;
}

const CASES: Record<string, Sizes> = {
  "from the first column": { B: 1, heads: 1, headSize: 4, columns: 3, prompt: 1, first: [0] },
  "left padding": { B: 3, heads: 2, headSize: 16, columns: 20, prompt: 9, first: [0, 8, 3] },
  "more keys than lanes": {
    B: 2,
    heads: 2,
    headSize: 12,
    columns: 200,
    prompt: 197,
    first: [0, 70],
  },
  "a window of one token": {
    B: 2,
    heads: 1,
    headSize: 4,
    columns: 6,
    prompt: 2,
    first: [0, 4],
    window: 1,
  },
  "a window, left padding within and before it": {
    B: 3,
    heads: 2,
    headSize: 8,
    columns: 43,
    prompt: 20,
    first: [0, 19, 30],
    window: 13,
  },
  "a window wider than the cache": {
    B: 1,
    heads: 1,
    headSize: 4,
    columns: 5,
    prompt: 3,
    first: [1],
    window: 4e9,
  },
  "odd head size": { B: 2, heads: 3, headSize: 5, columns: 17, prompt: 11, first: [2, 0] },
  "a long head": { B: 2, heads: 3, headSize: 64, columns: 30, prompt: 21, first: [0, 5] },
  "a head of 9 vectors": { B: 2, heads: 2, headSize: 36, columns: 12, prompt: 3, first: [1, 0] },
  "more channels than lanes": {
    B: 2,
    heads: 1,
    headSize: 260,
    columns: 9,
    prompt: 7,
    first: [0, 1],
  },
};

/**
 * Prefills a cache with a prompt, then decodes the remaining columns, one submit for all.
 *
 * @param order Which rows of the cache to decode, in an order of their own.
 */
async function decode(
  gpu: Gpu,
  x: Float32Array,
  sizes: Sizes,
  order = sizes.first.map((_, b) => b),
): Promise<Float32Array[]> {
  const { B, heads, headSize, columns, prompt, window = 0 } = sizes;
  const C = heads * headSize;
  const cache = gpu.tensor(new Float32Array(B * columns * 2 * C).fill(NaN), [B, columns, 2 * C]);
  const first = gpu.tensor(sizes.first, [B], "u32");
  const used: Tensor<"f32" | "u32">[] = [cache, first];
  const tensor = (data: ArrayLike<number>, shape: number[]) => {
    used.push(gpu.tensor(data, shape));
    return used.at(-1) as Tensor;
  };
  const at = (column: number) => {
    used.push(gpu.tensor([column], [1], "u32"));
    return used.at(-1) as Tensor<"u32">;
  };
  const columnOf = (column: number) =>
    order.flatMap((b) => {
      const place = (b * columns + column) * 3 * C;
      return Array.from(x.subarray(place, place + 3 * C));
    });
  const rows = gpu.tensor(order, [order.length], "u32");
  used.push(rows);

  const pass = gpu.record();
  const lengths = sizes.first.map((first) => Math.max(0, prompt - first)); // of the prompts
  let start = 0;
  const bounds = gpu.tensor(
    lengths.flatMap((length) => [start, start += length]),
    [B, 2],
    "u32",
  );
  used.push(bounds);
  const prompts = lengths.flatMap((length, b) => {
    const end = (b * columns + prompt) * 3 * C;
    return Array.from(x.subarray(end - length * 3 * C, end));
  });
  const qkv = tensor(prompts, [start, 3 * C]);
  const position = at(prompt - Math.max(...lengths));
  kvStore(pass, { qkv, sequences: { bounds, lengths }, cache, position });
  const outs: Tensor[] = [];
  for (let column = prompt; column < columns; column++) {
    const position = at(column);
    const qkv = tensor(columnOf(column), [order.length, 3 * C]);
    const out = tensor(new Float32Array(order.length * C).fill(NaN), [order.length, C]);
    attentionDecode(pass, { qkv, rows, cache, first, position, out }, { heads, window });
    outs.push(out);
  }
  pass.submit();
  const values = await gpu.readAll(outs);
  gpu.free(...used);
  return values as Float32Array[];
}

for (const [name, sizes] of Object.entries(CASES)) {
  Deno.test(`kvStore() and attentionDecode() give the rows of full attention: ${name}`, () =>
    withGpu(async (gpu) => {
      const { B, heads, headSize, columns: T, prompt, first } = sizes;
      const C = heads * headSize;
      const x = randn(B * T * 3 * C, 1);
      const keys = first.flatMap((column) => [column, T]);
      const { out } = reference.attention(x, { ...sizes, T, keys });
      const rows = await decode(gpu, x, sizes);
      rows.forEach((row, i) => {
        const expected = Float64Array.from(
          { length: B * C },
          (_, c) => out[(Math.floor(c / C) * T + prompt + i) * C + c % C],
        );
        assertClose(row, expected, CLOSE, `column ${prompt + i}`);
      });
    }));
}

Deno.test("attentionDecode() agrees with the last row of attentionForward()", () =>
  withGpu(async (gpu) => {
    const sizes = { B: 3, heads: 2, headSize: 16, columns: 20, prompt: 19, first: [0, 8, 19] };
    const { B, heads, headSize, columns: T } = sizes;
    const C = heads * headSize;
    const x = randn(B * T * 3 * C, 1);
    const lengths = sizes.first.map((first) => T - first);
    const tokens = sizes.first.flatMap((first, b) =>
      Array.from(x.subarray((b * T + first) * 3 * C, (b + 1) * T * 3 * C))
    );
    let N = 0;
    const bounds = gpu.tensor(lengths.flatMap((length) => [N, N += length]), [B, 2], "u32");
    const qkv = gpu.tensor(tokens, [N, 3 * C]);
    const [out, lse] = [gpu.empty([N, C]), gpu.empty([heads, N])];
    const pass = gpu.record();
    attentionForward(pass, { qkv, sequences: { bounds, lengths }, out, lse }, { heads });
    pass.submit();
    const full = await gpu.read(out);
    gpu.free(qkv, bounds, out, lse);
    const [row] = await decode(gpu, x, sizes);
    const ends = lengths.map((_, b) =>
      lengths.slice(0, b + 1).reduce((sum, length) => sum + length)
    );
    const last = row.map((_, i) => full[(ends[Math.floor(i / C)] - 1) * C + i % C]);
    assertClose(row, last, { atol: 1e-6 }); // the same 20 products, summed in another order
  }));

for (const name of ["left padding", "odd head size"]) {
  Deno.test(`attentionDecode() of some rows gives each the bits that it has among all: ${name}`, () =>
    withGpu(async (gpu) => {
      const sizes = CASES[name];
      const { B, heads, headSize, columns } = sizes;
      const C = heads * headSize;
      const x = randn(B * columns * 3 * C, 1);
      const all = await decode(gpu, x, sizes);
      const order = [B - 1, 0];
      const some = await decode(gpu, x, sizes, order);
      some.forEach((out, i) => {
        const expected = order.map((b) => Array.from(all[i].slice(b * C, (b + 1) * C)));
        assertEquals(Array.from(out), expected.flat());
      });
    }));
}

Deno.test("attentionDecode() gives zeros where no key is valid, and survives scores of 1e5", () =>
  withGpu(async (gpu) => {
    const sizes = { B: 2, heads: 1, headSize: 4, columns: 3, prompt: 2, first: [3, 0] };
    const x = randn(2 * 3 * 12, 1).map((xi) => 400 * xi);
    const [row] = await decode(gpu, x, sizes);
    assertEquals(Array.from(row.slice(0, 4)), [0, 0, 0, 0]);
    const keys = [3, 3, 0, 3];
    const { out } = reference.attention(x, { B: 2, T: 3, heads: 1, headSize: 4, keys });
    assertClose(row.slice(4), out.slice(20, 24), { atol: 1e-3 });
  }));

for (const C of [6, 8]) {
  Deno.test(`kvStore() writes its columns of the cache and no others: C = ${C}`, () =>
    withGpu(async (gpu) => {
      const [B, columns] = [3, 5];
      const lengths = [1, 3, 0];
      const bounds = gpu.tensor([0, 1, 1, 4, 4, 4], [B, 2], "u32");
      const x = randn(4 * 3 * C, 1);
      const qkv = gpu.tensor(x, [4, 3 * C]);
      for (const start of [0, 1, 4]) {
        const cache = gpu.tensor(new Float32Array(B * columns * 2 * C).fill(7), [
          B,
          columns,
          2 * C,
        ]);
        const position = gpu.tensor([start], [1], "u32");
        const pass = gpu.record();
        kvStore(pass, { qkv, sequences: { bounds, lengths }, cache, position });
        pass.submit();
        // The only token of the first row stands in the column of the last of the second.
        const places = [[start + 2], [start, start + 1, start + 2], []];
        const expected = Float32Array.from({ length: cache.size }, (_, i) => {
          const b = Math.floor(i / (2 * C * columns));
          const t = places[b].indexOf(Math.floor(i / (2 * C)) % columns);
          return t < 0 ? 7 : x[(b + t) * 3 * C + C + i % (2 * C)];
        });
        assertEquals(await gpu.read(cache), expected);
        gpu.free(cache, position);
      }
      gpu.free(qkv, bounds);
    }));
}

Deno.test("kvStore() and attentionDecode() refuse wrong shapes", () =>
  withGpu((gpu) => {
    const tensors = {
      qkv: gpu.empty([2, 24]),
      rows: gpu.empty([2], "u32"),
      cache: gpu.empty([2, 5, 16]),
      first: gpu.empty([2], "u32"),
      position: gpu.empty([1], "u32"),
      out: gpu.empty([2, 8]),
    };
    const wrong = gpu.empty([3, 9]);
    const wrongWhole = gpu.empty([3, 9], "u32");
    const pass = gpu.record();
    for (const key of ["qkv", "rows", "cache", "first", "position", "out"]) {
      const isWhole = ["rows", "first", "position"].includes(key);
      const bad = { ...tensors, [key]: isWhole ? wrongWhole : wrong };
      assertThrows(() => attentionDecode(pass, bad, { heads: 2 }), ShapeError);
      if (["qkv", "rows", "cache", "position"].includes(key)) {
        assertThrows(() => kvStore(pass, bad), ShapeError, "kvStore");
      }
    }
    gpu.free(...Object.values(tensors), wrong, wrongWhole);
  }));
