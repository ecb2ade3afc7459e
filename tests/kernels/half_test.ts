import { assertEquals, assertThrows } from "@std/assert";
import { expandHalf, halfEmbedding, HalfMatrix, shrinkToHalf } from "../../kernels/half.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { gather } from "../reference/embedding.ts";

const LARGEST = 65504;

/** What JavaScript makes of finite numbers in 16 bits; of those that are too large the largest. */
function halved(x: ArrayLike<number>): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    x,
    (number) => Math.f16round(Math.min(LARGEST, Math.max(-LARGEST, number))),
  );
}

/** A matrix that holds `x` (R, C), and its numbers as the memory has them. */
async function shrunk(gpu: Gpu, x: Float32Array, shape: readonly [number, number]) {
  const matrix = HalfMatrix.empty(gpu, shape, "test");
  const tensor = gpu.tensor(x, shape);
  const pass = gpu.record();
  shrinkToHalf(pass, { x: tensor, out: matrix });
  pass.submit();
  const words = await gpu.read(matrix.halves);
  gpu.free(tensor);
  return {
    matrix,
    halves: Float32Array.from(new Float16Array(words.buffer)).subarray(0, x.length),
  };
}

for (
  const [R, C, bindingBytes] of [
    [1, 1],
    [1, 2],
    [3, 1],
    [7, 9],
    [257, 130],
    [300, 5, 128 * 5 * 4], // three shards
  ] as const
) {
  Deno.test(`shrinkToHalf() and expandHalf() round as JavaScript does at (${R}, ${C})`, () =>
    withGpu(async (gpu) => {
      const x = randn(R * C, 1);
      const { matrix, halves } = await shrunk(gpu, x, [R, C]);
      assertEquals(halves, halved(x));
      const out = gpu.tensor(new Float32Array(R * C + 8).fill(7));
      const pass = gpu.record();
      expandHalf(pass, { x: matrix, out: out.rows(0, R * C).view([R, C]) });
      pass.submit();
      assertEquals(await gpu.read(out), Float32Array.from([...halved(x), ...Array(8).fill(7)]));
      gpu.free(out, matrix.halves);
    }, bindingBytes ? { bindingBytes } : {}));
}

Deno.test("shrinkToHalf() finds the nearest half to every kind of number", () =>
  withGpu(async (gpu) => {
    const halves = Float32Array.from(
      new Float16Array(Uint16Array.from({ length: 0x7c00 }, (_, i) => i).buffer),
    );
    const middles = halves.subarray(1).map((half, i) => (half + halves[i]) / 2); // exact in 32 bits
    const [bits, floats] = [new Uint32Array(1), new Float32Array(1)];
    const beside = (x: number, step: number) => {
      floats[0] = x;
      bits.set(new Uint32Array(floats.buffer));
      bits[0] += step;
      return new Float32Array(bits.buffer)[0];
    };
    const positive = Float32Array.from([
      ...halves,
      ...middles,
      ...middles.subarray(1).map((x) => beside(x, 1)),
      ...middles.subarray(1).map((x) => beside(x, -1)),
      ...[1e-45, 1e-38, 65519.99, 65520, 1e6, 3.4e38],
    ]);
    const x = Float32Array.from([...positive, ...positive.map((number) => -number)]);
    const { matrix, halves: found } = await shrunk(gpu, x, [2, positive.length]);
    assertEquals(found, halved(x));
    const infinite = await shrunk(gpu, Float32Array.of(Infinity, -Infinity, NaN), [1, 3]);
    assertEquals(infinite.halves, Float32Array.of(Infinity, -Infinity, NaN));
    gpu.free(matrix.halves, infinite.matrix.halves);
  }));

Deno.test("expandHalf() gives every normal half as it is, and the others or 0", () =>
  withGpu(async (gpu) => {
    const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((i) =>
      (i & 0x7fff) < 0x7c00
    );
    const expected = Float32Array.from(new Float16Array(bits.buffer));
    const shape = [2, bits.length / 2] as const;
    const halves = gpu.tensor(new Uint32Array(bits.buffer), [bits.length / 2], "u32");
    const out = gpu.empty(shape);
    const pass = gpu.record();
    expandHalf(pass, { x: new HalfMatrix(shape, halves), out });
    pass.submit();
    const found = await gpu.read(out);
    const small = 2 ** -14;
    for (const [i, x] of expected.entries()) {
      if (found[i] === x || (Math.abs(x) < small && found[i] === 0)) continue;
      throw new Error(`half ${bits[i]} is ${found[i]}, expected ${x}`);
    }
    gpu.free(halves, out);
  }));

const TABLES = [
  { N: 1, V: 1, C: 1, bindingBytes: Infinity },
  { N: 37, V: 11, C: 7, bindingBytes: Infinity }, // rows begin in the middle of a word
  { N: 70_000, V: 300, C: 2, bindingBytes: Infinity }, // folded
  { N: 37, V: 300, C: 12, bindingBytes: 128 * 12 * 4 }, // two shards, the last of 44 rows
  { N: 37, V: 301, C: 3, bindingBytes: 256 * 3 * 2 }, // two shards of odd rows
];

for (const { N, V, C, bindingBytes } of TABLES) {
  Deno.test(`halfEmbedding() adds token and position at (${N}, ${C}), V = ${V}, ${bindingBytes} bytes`, () =>
    withGpu(async (gpu) => {
      const P = 9;
      const edges = [V - 1, 0, 127, 128, 129, 255, 256].filter((id) => id < V);
      const ids = Uint32Array.from({ length: N }, (_, n) => edges[n] ?? (n * 31 + 5) % V);
      const places = Uint32Array.from({ length: N }, (_, n) => (n * 5 + P - 1) % P);
      const [tokens, table] = [randn(V * C, 1), randn(P * C, 2)];
      const { matrix: wte } = await shrunk(gpu, tokens, [V, C]);
      const { matrix: wpe } = await shrunk(gpu, table, [P, C]);
      const lists = {
        ids: gpu.tensor(ids, [N], "u32"),
        positions: gpu.tensor(places, [N], "u32"),
      };
      const out = gpu.tensor(new Float32Array(N * C).fill(NaN), [N, C]);
      const pass = gpu.record();
      halfEmbedding(pass, { ...lists, wte, wpe, out });
      pass.submit();
      const position = gather(halved(table), places, C);
      const expected = gather(halved(tokens), ids, C).map((x, i) => Math.fround(x + position[i]));
      assertEquals(Array.from(await gpu.read(out)), Array.from(expected));
      gpu.free(lists.ids, lists.positions, out, wte.halves, wpe.halves);
    }, bindingBytes === Infinity ? {} : { bindingBytes: Math.max(bindingBytes, 4 * N * C) }));
}

Deno.test("a matrix is cut into rows that are aligned and fit", () =>
  withGpu((gpu) => {
    const matrix = HalfMatrix.empty(gpu, [301, 3], "test");
    assertEquals(matrix.shards(1e6), [{ from: 0, to: 301 }]);
    assertEquals(matrix.shards(130 * 3 * 2), [
      { from: 0, to: 128 },
      { from: 128, to: 256 },
      { from: 256, to: 301 },
    ]);
    assertEquals(matrix.shards(260 * 3 * 4, 4), [{ from: 0, to: 256 }, { from: 256, to: 301 }]);
    const { shape, halves } = matrix.rows(256, 301);
    assertEquals([shape, halves.shape, halves.offset], [[45, 3], [68], 256 * 3 * 2]);
    gpu.free(matrix.halves);
  }));

Deno.test("shapes that do not fit are refused", () =>
  withGpu((gpu) => {
    const matrix = HalfMatrix.empty(gpu, [4, 6], "test");
    const other = gpu.empty([6, 4]);
    const list = gpu.empty([6], "u32");
    const pass = gpu.record();
    assertThrows(() => shrinkToHalf(pass, { x: other, out: matrix }), ShapeError, "shrinkToHalf");
    assertThrows(() => expandHalf(pass, { x: matrix, out: other }), ShapeError, "expandHalf");
    const tables = { wte: matrix, wpe: matrix };
    assertThrows(
      () => halfEmbedding(pass, { ids: list, positions: list, ...tables, out: other }),
      ShapeError,
      "wte must have",
    );
    gpu.free(matrix.halves, other, list);
  }));
