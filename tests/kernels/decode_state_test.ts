import { assertEquals, assertThrows } from "@std/assert";
import { ACTIVE, decodeAdvance } from "../../kernels/decode_state.ts";
import { ShapeError } from "../../kernels/runtime/mod.ts";
import { withGpu } from "../helpers/gpu.ts";
import type { Gpu } from "../../kernels/runtime/mod.ts";

const PAD = 99;

function makeState(gpu: Gpu, B: number, columns: number, column: number, stopIds: number[]) {
  return {
    next: gpu.empty([B], "u32"),
    logprobs: gpu.empty([B]),
    stopIds: gpu.tensor(stopIds, [stopIds.length], "u32"),
    state: gpu.tensor([column, 0, 11, 12, 13, 0, 0, 0], [8], "u32"),
    tokens: gpu.tensor(new Uint32Array(B * columns).fill(7), [B, columns], "u32"),
    tokenLogprobs: gpu.empty([B, columns]),
    positions: gpu.tensor(Array.from({ length: B }, (_, b) => b), [B], "u32"),
    finished: gpu.empty([B], "u32"),
    current: gpu.empty([B], "u32"),
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
    const tensors = makeState(gpu, 3, 5, 2, [50, 60]);
    const seen = [];
    for (const next of [[1, 50, 3], [4, 5, 6], [60, 7, 8]]) {
      step(gpu, tensors, next);
      const { current, position, state, finished } = tensors;
      const read = await gpu.readAll([current, position, state, finished]);
      seen.push(read.map((values) => Array.from(values)));
    }

    assertEquals(seen, [
      [[1, 50, 3], [2], [3, 1, 11, 12, 13, 2, 0, 0], [0, 1, 0]],
      [[4, PAD, 6], [3], [4, 2, 11, 12, 13, 2, 0, 0], [0, 1, 0]],
      [[60, PAD, 8], [4], [5, 3, 11, 12, 13, 1, 0, 0], [1, 1, 0]],
    ]);
    assertEquals(
      Array.from(await gpu.read(tensors.tokens)),
      [[7, 7, 1, 4, 60], [7, 7, 50, PAD, PAD], [7, 7, 3, 6, 8]].flat(),
    );
    assertEquals(
      Array.from(await gpu.read(tensors.tokenLogprobs)),
      [[0, 0, -0.25, -1, -15], [0, 0, -12.5, 0, 0], [0, 0, -0.75, -1.5, -2]].flat(),
    );
    assertEquals(Array.from(await gpu.read(tensors.positions)), [3, 4, 5]);
    gpu.free(...Object.values(tensors));
  }));

Deno.test("decodeAdvance() counts the unfinished rows of a large batch", () =>
  withGpu(async (gpu) => {
    const B = 1009;
    const tensors = makeState(gpu, B, 1, 0, [0xffffffff, 1]);
    step(gpu, tensors, Array.from({ length: B }, (_, b) => b % 3));

    assertEquals((await gpu.read(tensors.state))[ACTIVE], B - 336);
    gpu.free(...Object.values(tensors));
  }));

Deno.test("decodeAdvance() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const good = makeState(gpu, 2, 3, 0, [1]);
    const wrong = [
      { state: good.next },
      { tokenLogprobs: good.logprobs },
      { next: good.position },
      { finished: good.position },
      { position: good.next },
    ];
    for (const tensors of wrong) {
      const all = { ...good, ...tensors };
      assertThrows(() => decodeAdvance(gpu.record(), all, { padId: PAD }), ShapeError);
    }
    gpu.free(...Object.values(good));
  }));
