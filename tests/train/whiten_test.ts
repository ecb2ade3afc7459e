import { assertEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../../kernels/runtime/errors.ts";
import { casesOf } from "../helpers/cases.ts";
import { assertClose } from "../helpers/close.ts";
import { whiten, type WhitenOptions } from "../../train/whiten.ts";

for (
  const { name, options, input, expected } of casesOf<
    WhitenOptions,
    { x: number[][]; mask: number[][] },
    { y: number[][] }
  >("whiten")
) {
  Deno.test(`whiten() agrees with case ${name} at ${Deno.inspect(options)}`, () => {
    assertClose(whiten(input.x, input.mask, options).flat(), expected.y.flat(), { atol: 5e-9 }); // one case has 8 decimals
  });
}

Deno.test("whiten() uses the unbiased variance", () => {
  // TRL's test. The biased variance would give 1.
  const y = whiten([[1, 2, 3, 4]], [[0, 1, 1, 0]]);
  assertClose(y[0], [0, -.70710677, .70710677, 0], { atol: 5e-9 }); // 8 decimals
});

Deno.test("whiten() keeps the mean with shiftMean false", () => {
  // Huang et al., "The N implementation details of RLHF with PPO", unbiased.
  const y = whiten([[1.2, 1.3, 1.4], [1.5, 1.6, 1.7], [1.8, 1.9, 2.0]], Array(3).fill([1, 1, 1]), {
    shiftMean: false,
  });
  const expected = [.1394, .5046, .8697, 1.2349, 1.6, 1.9651, 2.3303, 2.6954, 3.0606];
  assertClose(y.flat(), expected, { atol: 5e-5 }); // 4 decimals
});

Deno.test("whiten() ignores NaN outside the mask and shows NaN inside", () => {
  const x = [[1, NaN, 3]];
  assertEquals(whiten(x, [[1, 0, 1]])[0][1], 0);
  assertClose(whiten(x, [[1, 0, 1]])[0], [-Math.SQRT1_2, 0, Math.SQRT1_2], { atol: 1e-8 });
  assertEquals(whiten(x, [[1, 1, 0]])[0], [NaN, NaN, 0]);
});

Deno.test("whiten() gives zeros for fewer than two tokens", () => {
  for (const shiftMean of [true, false]) {
    assertEquals(whiten([[5, 7], [1, 2]], [[0, 1], [0, 0]], { shiftMean }), [[0, 0], [0, 0]]);
    assertEquals(whiten([[5, 7]], [[0, 0]], { shiftMean }), [[0, 0]]);
  }
});

Deno.test("whiten() is finite for equal numbers", () => {
  assertEquals(whiten([[3, 3]], [[1, 1]]), [[0, 0]]);
});

Deno.test("whiten() does not change when padding is added", () => {
  const short = whiten([[1, 2], [4, 8]], [[1, 1], [1, 1]]);
  const long = whiten([[1, 2, 9], [4, 8, 9]], [[1, 1, 0], [1, 1, 0]]);
  assertEquals(long.map((row) => row.slice(0, 2)), short);
});

Deno.test("whiten() refuses another shape than the mask's", () => {
  assertThrows(() => whiten([[1, 2]], [[1, 1], [1, 1]]), ShapeError, "Cannot whiten: x must");
});
