import { assertEquals, assertThrows } from "@std/assert";
import {
  embeddingBackward,
  embeddingForward,
  groupRows,
  type RowGroups,
  rowShards,
} from "../../kernels/embedding.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { gather, scatterAdd } from "../reference/embedding.ts";

const CASES = [
  { N: 1, V: 1, C: 1, bindingBytes: Infinity },
  { N: 37, V: 11, C: 7, bindingBytes: Infinity }, // every token several times
  { N: 37, V: 1000, C: 36, bindingBytes: Infinity },
  { N: 65_537, V: 65_600, C: 2, bindingBytes: Infinity }, // folded
  { N: 37, V: 200, C: 12, bindingBytes: 64 * 12 * 4 + 100 }, // four shards, the last of 8 rows
];

/** Ids that hit the first and the last row of the table and each boundary between shards. */
function idsOf(N: number, V: number): Uint32Array<ArrayBuffer> {
  const edges = [V - 1, 0, 63, 64, 65, 127, 128].filter((id) => id < V);
  return Uint32Array.from({ length: N }, (_, n) => edges[n] ?? (n * 31 + 5) % V);
}

function upload(gpu: Gpu, groups: RowGroups<Uint32Array>): RowGroups {
  const list = (data: Uint32Array) => gpu.tensor(data, [data.length], "u32");
  return {
    order: list(groups.order),
    starts: list(groups.starts),
    lengths: list(groups.lengths),
    targets: list(groups.targets),
  };
}

for (const { N, V, C, bindingBytes } of CASES) {
  const ids = idsOf(N, V);
  const shards = Number.isFinite(bindingBytes) ? " in shards" : "";

  Deno.test(`embeddingForward() adds token and position at (${N}, ${C}), V = ${V}${shards}`, () =>
    withGpu(async (gpu) => {
      const P = 9;
      const places = Uint32Array.from({ length: N }, (_, n) => (n * 5 + P - 1) % P);
      const [tokens, table] = [randn(V * C, 1), randn(P * C, 2)];
      const tensors = {
        ids: gpu.tensor(ids, [N], "u32"),
        positions: gpu.tensor(places, [N], "u32"),
        wte: gpu.tensor(tokens, [V, C]),
        wpe: gpu.tensor(table, [P, C]),
        out: gpu.tensor(new Float32Array(N * C).fill(NaN), [N, C]),
      };
      const pass = gpu.record();
      embeddingForward(pass, tensors);
      pass.submit();

      const position = gather(table, places, C);
      const expected = gather(tokens, ids, C).map((x, i) => Math.fround(x + position[i]));
      assertEquals(Array.from(await gpu.read(tensors.out)), expected); // one addition, one rounding
      gpu.free(...Object.values(tensors));
    }, { bindingBytes }));

  Deno.test(`embeddingBackward() adds to the rows of (${V}, ${C})${shards}`, () =>
    withGpu(async (gpu) => {
      const [upstream, before] = [randn(N * C, 1), randn(V * C, 2)];
      const dout = gpu.tensor(upstream, [N, C]);
      const dtable = gpu.tensor(before, [V, C]);
      const groups = upload(gpu, groupRows(ids));
      const pass = gpu.record();
      embeddingBackward(pass, { dout, groups, dtable });
      pass.submit();

      const expected = scatterAdd(upstream, ids, { rows: V, C }).map((g, i) => g + before[i]);
      assertClose(await gpu.read(dtable), expected, { atol: 2e-6 }); // sums of a few f32
      gpu.free(dout, dtable, ...Object.values(groups));
    }, { bindingBytes }));
}

Deno.test("groupRows() keeps the order of the rows in a group", () => {
  const ids = Uint32Array.of(7, 2, 7, 9, 2, 7);
  assertEquals(groupRows(ids), {
    order: Uint32Array.of(1, 4, 0, 2, 5, 3),
    starts: Uint32Array.of(0, 2, 5, 0, 0, 0),
    lengths: Uint32Array.of(2, 3, 1, 0, 0, 0),
    targets: Uint32Array.of(2, 7, 9, 0, 0, 0),
  });
});

Deno.test("rowShards() covers every row once, in parts that fit and start at a multiple", () =>
  withGpu((gpu) => {
    const table = gpu.empty([200, 3]);
    assertEquals(rowShards(table, 2400), [{ from: 0, to: 200 }]);
    assertEquals(rowShards(table, 2399), [{ from: 0, to: 192 }, { from: 192, to: 200 }]);
    assertEquals(rowShards(table, 600, 10), [
      { from: 0, to: 50 },
      { from: 50, to: 100 },
      { from: 100, to: 150 },
      { from: 150, to: 200 },
    ]);
    assertThrows(() => rowShards(table, 767), ShapeError, "64 rows have 768");
    gpu.free(table);
  }));

Deno.test("embeddingForward() and embeddingBackward() refuse tensors of other shapes", () =>
  withGpu((gpu) => {
    const [ids, list] = [gpu.empty([2], "u32"), gpu.empty([3], "u32")];
    const [table, other] = [gpu.empty([5, 3]), gpu.empty([5, 4])];
    const out = gpu.empty([2, 3]);
    const pass = gpu.record();
    const good = { ids, positions: ids, wte: table, wpe: table, out };
    for (const wrong of [{ ids: list }, { positions: list }, { wte: other }, { wpe: other }]) {
      assertThrows(() => embeddingForward(pass, { ...good, ...wrong }), ShapeError);
    }
    const groups = { order: ids, starts: ids, lengths: ids, targets: ids };
    const backward = (tensors: { groups?: RowGroups; dtable?: Tensor }) =>
      embeddingBackward(pass, { dout: out, groups, dtable: table, ...tensors });
    assertThrows(() => backward({ dtable: other }), ShapeError, "dtable");
    for (const name of ["order", "starts", "lengths", "targets"]) {
      assertThrows(() => backward({ groups: { ...groups, [name]: list } }), ShapeError, name);
    }
    gpu.free(ids, list, table, other, out);
  }));
