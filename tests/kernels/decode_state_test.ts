import { assertEquals, assertThrows } from "@std/assert";
import { decodeAdvance, LIVE, liveColumns, ofLive } from "../../kernels/decode_state.ts";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { withGpu } from "../helpers/gpu.ts";

const PAD = 99;

/** A generation of B rows, of which tokens are drawn for those given. */
function makeState(
  gpu: Gpu,
  { B, rows, columns, column, stopIds }: {
    B: number;
    rows: number[];
    columns: number;
    column: number;
    stopIds: number[];
  },
) {
  const N = rows.length;
  const numbers = new Uint32Array(LIVE.length * liveColumns(N));
  rows.forEach((row, n) => {
    numbers[LIVE.indexOf("row") * liveColumns(N) + n] = row;
    numbers[LIVE.indexOf("position") * liveColumns(N) + n] = n;
  });
  return {
    next: gpu.empty([N], "u32"),
    logprobs: gpu.empty([N]),
    stopIds: gpu.tensor(stopIds, [stopIds.length], "u32"),
    state: gpu.tensor([column, 0, 11, 12], [4], "u32"),
    live: gpu.tensor(numbers, [LIVE.length, liveColumns(N)], "u32"),
    tokens: gpu.tensor(new Uint32Array(B * columns).fill(7), [B, columns], "u32"),
    tokenLogprobs: gpu.empty([B, columns]),
    position: gpu.empty([1], "u32"),
  };
}

function step(gpu: Gpu, tensors: ReturnType<typeof makeState>, next: number[]): void {
  gpu.write(tensors.next, next);
  gpu.write(tensors.logprobs, next.map((id) => -id / 4));
  const pass = gpu.record();
  decodeAdvance(pass, tensors, { padId: PAD });
  pass.submit();
}

Deno.test("decodeAdvance() books tokens, keeps the stop id and pads after it", () =>
  withGpu(async (gpu) => {
    const rows = [3, 0, 2]; // the second of four has been left out
    const tensors = makeState(gpu, { B: 4, rows, columns: 5, column: 2, stopIds: [50, 60] });
    const seen = [];
    for (const next of [[1, 50, 3], [4, 5, 6], [60, 7, 8]]) {
      step(gpu, tensors, next);
      const { live, position, state } = tensors;
      const read = [ofLive(live, "current", 3), position, state, ofLive(live, "finished", 3)];
      // One after the other: views of one tensor.
      const values = [];
      for (const tensor of read) values.push(Array.from(await gpu.read(tensor)));
      seen.push(values);
    }

    assertEquals(seen, [
      [[1, 50, 3], [2], [3, 1, 11, 12], [0, 1, 0]],
      [[4, PAD, 6], [3], [4, 2, 11, 12], [0, 1, 0]],
      [[60, PAD, 8], [4], [5, 3, 11, 12], [1, 1, 0]],
    ]);
    assertEquals(
      Array.from(await gpu.read(tensors.tokens)),
      [[7, 7, 50, PAD, PAD], [7, 7, 7, 7, 7], [7, 7, 3, 6, 8], [7, 7, 1, 4, 60]].flat(),
    );
    assertEquals(
      Array.from(await gpu.read(tensors.tokenLogprobs)),
      [[0, 0, -12.5, 0, 0], [0, 0, 0, 0, 0], [0, 0, -0.75, -1.5, -2], [0, 0, -0.25, -1, -15]]
        .flat(),
    );
    assertEquals(Array.from(await gpu.read(ofLive(tensors.live, "position", 3))), [3, 4, 5]);
    assertEquals(Array.from(await gpu.read(ofLive(tensors.live, "row", 3))), rows);
    gpu.free(...Object.values(tensors));
  }));

Deno.test("decodeAdvance() books the rows of a large batch", () =>
  withGpu(async (gpu) => {
    const rows = Array.from({ length: 1009 }, (_, n) => 1008 - n);
    const tensors = makeState(gpu, { B: 1009, rows, columns: 1, column: 0, stopIds: [1] });
    step(gpu, tensors, rows.map((row) => row % 3));

    const finished = await gpu.read(ofLive(tensors.live, "finished", 1009));
    assertEquals(Array.from(finished), rows.map((row) => Number(row % 3 === 1)));
    assertEquals(Array.from(await gpu.read(tensors.tokens)), rows.map((_, b) => b % 3));
    gpu.free(...Object.values(tensors));
  }));

Deno.test("decodeAdvance() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const good = makeState(gpu, { B: 2, rows: [0, 1], columns: 3, column: 0, stopIds: [1] });
    const wrong = [
      { state: good.next },
      { tokenLogprobs: good.logprobs },
      { next: good.position },
      { live: good.tokens },
      { position: good.next },
    ];
    for (const tensors of wrong) {
      const all = { ...good, ...tensors };
      assertThrows(() => decodeAdvance(gpu.record(), all, { padId: PAD }), ShapeError);
    }
    gpu.free(...Object.values(good));
  }));
