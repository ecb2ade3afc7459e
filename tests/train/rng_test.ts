import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { assertClose } from "../helpers/close.ts";
import { Rng, type RngState } from "../../train/rng.ts";
import { mean, variance } from "../../train/stats.ts";

const draw = (rng: Rng, count: number) => Array.from({ length: count }, () => rng.next());

Deno.test("Rng draws the words of xoshiro128**", () => {
  // First outputs of the authors' C code from the state 1, 2, 3, 4, as rand_xoshiro publishes them.
  const words = [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849];
  const rng = Rng.restore([1, 2, 3, 4]);
  assertEquals(words.map(() => rng.int(2 ** 32)), words);
});

Deno.test("Rng.next() takes 27 bits of one word and 26 of the next", () => {
  const expected = ((11520 >>> 5) * 2 ** 26 + (0 >>> 6)) / 2 ** 53;
  assertEquals(Rng.restore([1, 2, 3, 4]).next(), expected);
});

Deno.test("Rng repeats for one seed and stream", () => {
  assertEquals(draw(new Rng(1, "prompts"), 5), draw(new Rng(1, "prompts"), 5));
});

Deno.test("Rng gives other numbers to other seeds and streams", () => {
  const first = [new Rng(0), new Rng(1), new Rng(-1), new Rng(0, "a"), new Rng(0, "b")]
    .map((rng) => rng.next());
  assertEquals(new Set(first).size, first.length);
});

Deno.test("Rng streams of one seed and seeds of one stream are not correlated", () => {
  const N = 4000;
  const correlation = (a: Rng, b: Rng) => {
    const [x, y] = [draw(a, N), draw(b, N)].map((xs) => xs.map((xi) => xi - 0.5));
    return mean(x.map((xi, i) => xi * y[i])) * 12; // 1/12 is the variance of a uniform number
  };
  const pairs = [
    correlation(new Rng(1, "a"), new Rng(1, "b")),
    correlation(new Rng(1, "a"), new Rng(2, "a")),
  ];
  assertClose(pairs, [0, 0], { atol: 4 / Math.sqrt(N) }); // four standard errors
});

Deno.test("Rng.restore() goes on where the state was taken, also through JSON", () => {
  const rng = new Rng(42, "minibatches");
  draw(rng, 3);
  const state = JSON.parse(JSON.stringify(rng.state)) as RngState;
  assertEquals(draw(Rng.restore(state), 5), draw(rng, 5));
});

Deno.test("Rng.state is a copy", () => {
  const rng = new Rng(42);
  const before = rng.state;
  rng.next();
  assertNotEquals(rng.state, before);
});

for (
  const state of [[0, 0, 0, 0], [1, 2, 3], [1, 2, 3, -4], [1, 2, 3, 0.5], [1, 2, 3, 2 ** 32]]
) {
  Deno.test(`Rng.restore() refuses [${state}]`, () => {
    assertThrows(() => Rng.restore(state as unknown as RngState), RangeError);
  });
}

Deno.test("Rng refuses a seed that is not a safe integer", () => {
  for (const seed of [0.5, NaN, 2 ** 53]) assertThrows(() => new Rng(seed), RangeError);
});

Deno.test("Rng.int() is uniform over a range that does not divide 2^32", () => {
  const rng = new Rng(7);
  const [N, n] = [30_000, 3 * 2 ** 30]; // a plain remainder would double the lowest third
  const counts = [0, 0, 0];
  for (let i = 0; i < N; i++) counts[Math.floor(rng.int(n) / 2 ** 30)]++;
  // Four standard deviations of a binomial count.
  assertClose(counts, [N / 3, N / 3, N / 3], { atol: 4 * Math.sqrt(N * (1 / 3) * (2 / 3)) });
});

Deno.test("Rng.int() refuses a bound that is not an integer from 1 to 2^32", () => {
  for (const n of [0, -1, 1.5, NaN, 2 ** 33]) {
    assertThrows(() => new Rng(1).int(n), RangeError);
  }
});

Deno.test("Rng.normal() has mean 0 and variance 1", () => {
  const rng = new Rng(3);
  const N = 20_000;
  const xs = Array.from({ length: N }, () => rng.normal());
  // Four standard errors: sqrt(1/N) of the mean, sqrt(2/N) of the variance.
  assertClose([mean(xs)], [0], { atol: 4 * Math.sqrt(1 / N) });
  assertClose([variance(xs)], [1], { atol: 4 * Math.sqrt(2 / N) });
});

Deno.test("Rng.shuffle() gives a permutation and leaves the array alone", () => {
  const array = Object.freeze(Array.from({ length: 20 }, (_, i) => i));
  const shuffled = new Rng(1).shuffle(array);
  assertNotEquals(shuffled, array);
  assertEquals(shuffled.toSorted((a, b) => a - b), array);
});

Deno.test("Rng.shuffle() gives all orders equally often", () => {
  const rng = new Rng(9);
  const counts = new Map<string, number>();
  const N = 12_000;
  for (let i = 0; i < N; i++) {
    const order = rng.shuffle(["a", "b", "c"]).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  const expected = Array(6).fill(N / 6);
  assertClose([...counts.values()], expected, { atol: 4 * Math.sqrt(N * (1 / 6) * (5 / 6)) });
});
