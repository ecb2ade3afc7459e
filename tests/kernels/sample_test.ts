import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Gpu, ShapeError } from "../../kernels/runtime/mod.ts";
import { sample, type SampleOptions } from "../../kernels/sample.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { topKIds, topPIds } from "../reference/sample.ts";
import { logSoftmax } from "../reference/token_logprobs.ts";

const PLAIN: SampleOptions = {
  temperature: 1,
  topK: 0,
  topP: 1,
  greedy: false,
  minNewTokens: 0,
};

interface Draw extends Partial<SampleOptions> {
  rows: ArrayLike<number>[];
  generated?: number;
  seed?: number;
  step?: number;
  /** Number of the first row. */
  firstRow?: number;
  stopIds?: number[];
  /** Columns from one row to the next. */
  stride?: number;
}

async function draw(gpu: Gpu, { rows, ...options }: Draw) {
  const { generated = 0, seed = 1, step = 0, firstRow = 0, stopIds = [0xffffffff] } = options;
  const [B, V] = [rows.length, rows[0].length];
  const { stride = V } = options;
  const x = new Float32Array(B * stride).fill(1e30); // padding that would win if it were looked at
  rows.forEach((row, b) => x.set(row, b * stride));
  const tensors = {
    logits: gpu.tensor(x, [B, stride]).columns(0, V),
    rows: gpu.tensor(rows.map((_, b) => firstRow + b), [B], "u32"),
    state: gpu.tensor([7, generated, seed, step], [4], "u32"),
    stopIds: gpu.tensor(stopIds, [stopIds.length], "u32"),
    next: gpu.empty([B], "u32"),
    logprobs: gpu.empty([B]),
  };
  const pass = gpu.record();
  sample(pass, tensors, { ...PLAIN, ...options });
  pass.submit();
  const [next, logprobs] = await gpu.readAll([tensors.next, tensors.logprobs]);
  gpu.free(...Object.values(tensors));
  return { next: Array.from(next), logprobs };
}

/** One row of logits many times, since every row draws with noise of its own. */
const repeat = (row: ArrayLike<number>, B: number) => Array.from({ length: B }, () => row);

/** Pearson's statistic of counts against probabilities; its mean is the number of cells less 1. */
function chiSquare(counts: number[], probabilities: number[]): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * probabilities[i];
    return sum + (count - expected) ** 2 / expected;
  }, 0);
}

function countsOf(ids: number[], cells: number): number[] {
  const counts = Array(cells).fill(0);
  for (const id of ids) counts[id]++;
  return counts;
}

const LM_HP = [1, 1.01, 1.001, 0, 0, 0, 2]; // of openai/lm-human-preferences, test_core_utils.py

for (const temperature of [1, 0.7, 1.5]) {
  Deno.test(`sample() draws from the softmax at T = ${temperature}`, () =>
    withGpu(async (gpu) => {
      const { next } = await draw(gpu, { rows: repeat(LM_HP, 20_000), temperature });
      const probabilities = logSoftmax(LM_HP, temperature).map(Math.exp);
      const statistic = chiSquare(countsOf(next, 7), probabilities);
      assert(statistic < 22.5, `${statistic}`); // 0.999 quantile, 6 degrees of freedom
    }));
}

Deno.test("sample() is fair between two tokens at any odds", () =>
  withGpu(async (gpu) => {
    for (const odds of [0.01, 0.1, 0.5, 0.9]) {
      const row = [Math.log(odds), Math.log(1 - odds)];
      const { next } = await draw(gpu, { rows: repeat(row, 60_000) });
      const statistic = chiSquare(countsOf(next, 2), [odds, 1 - odds]);
      assert(statistic < 10.8, `${odds}: ${statistic}`); // 0.999 quantile, 1 degree of freedom
    }
  }));

Deno.test("sample() draws independently from row to row, step to step, token to token", () =>
  withGpu(async (gpu) => {
    const rows = repeat([0.3, 0, -0.4], 10_000);
    const p = logSoftmax(rows[0]).map(Math.exp);
    const pairs = p.flatMap((left) => p.map((right) => left * right));
    const { next } = await draw(gpu, { rows });
    for (const other of [{ firstRow: 1 }, { step: 1 }, { generated: 1 }, { seed: 2 }]) {
      const { next: second } = await draw(gpu, { rows, ...other });
      const counts = countsOf(next.map((id, b) => 3 * id + second[b]), 9);
      const statistic = chiSquare(counts, pairs);
      assert(statistic < 26.1, `${Object.keys(other)}: ${statistic}`); // 0.999 quantile, 8 degrees
    }
  }));

Deno.test("sample() is fair between one likely and 50,256 unlikely tokens", () =>
  withGpu(async (gpu) => {
    const V = 50257;
    const row = new Float32Array(V);
    row[V - 1] = Math.log(V - 1); // as likely as all the others together
    let likely = 0;
    let sum = 0;
    const draws = 480;
    for (let step = 0; step < draws / 16; step++) {
      const { next } = await draw(gpu, { rows: repeat(row, 16), step });
      for (const id of next) {
        if (id === V - 1) likely++;
        else sum += id;
      }
    }
    assert(Math.abs(likely - draws / 2) < 3.3 * Math.sqrt(draws / 4), `${likely} of ${draws}`);
    const mean = sum / (draws - likely) / (V - 1);
    assert(Math.abs(mean - 0.5) < 3.3 / Math.sqrt(12 * (draws - likely)), `mean id ${mean}`);
  }));

Deno.test("sample() draws the same for rows that are taken one part after the other", () =>
  withGpu(async (gpu) => {
    const rows = repeat(new Float32Array(50), 12);
    const { next } = await draw(gpu, { rows });
    const first = await draw(gpu, { rows: rows.slice(0, 5) });
    const rest = await draw(gpu, { rows: rows.slice(5), firstRow: 5 });
    assertEquals([...first.next, ...rest.next], next);
  }));

Deno.test("sample() draws the same for the same row, whatever else is in the batch", () =>
  withGpu(async (gpu) => {
    const rows = Array.from({ length: 7 }, (_, b) => randn(101, b));
    const options = { temperature: 0.8, topK: 40, topP: 0.9, seed: 5, step: 3, generated: 2 };
    const whole = await draw(gpu, { rows, ...options });
    const padded = await draw(gpu, { rows, ...options, stride: 128 });
    const part = await draw(gpu, { rows: rows.slice(2, 5), ...options, firstRow: 2 });
    assertEquals(padded, whole);
    assertEquals(part.next, whole.next.slice(2, 5));
    assertEquals(part.logprobs, whole.logprobs.slice(2, 5));
  }));

for (const V of [1, 7, 9, 50257]) {
  Deno.test(`sample() reports the unfiltered log-probability at V = ${V}`, () =>
    withGpu(async (gpu) => {
      const rows = [1, 2, 3].map((seed) => randn(V, seed).map((z) => 3 * z));
      const options = { temperature: 0.7, topK: Math.min(5, V), topP: 0.9 };
      const { next, logprobs } = await draw(gpu, { rows, ...options });
      const expected = rows.map((row, b) => logSoftmax(row, 0.7)[next[b]]);
      assertClose(logprobs, expected, { atol: 3e-6 }); // the spacing of f32 near 20 is 2e-6
      rows.forEach((row, b) => assert(topKIds(row, options.topK).includes(next[b])));
    }));
}

for (const k of [1, 2, 3, 4, 6, 7, 100]) {
  Deno.test(`sample() keeps the ${k} likeliest and their equals`, () =>
    withGpu(async (gpu) => {
      const ids = topKIds(LM_HP, Math.min(k, 7));
      const { next } = await draw(gpu, { rows: repeat(LM_HP, 1000), topK: k });
      assertEquals([...new Set(next)].sort(), ids);
      const kept = logSoftmax(ids.map((id) => LM_HP[id])).map(Math.exp);
      const statistic = chiSquare(countsOf(next.map((id) => ids.indexOf(id)), ids.length), kept);
      assert(statistic < 22.5, `${statistic}`); // 0.999 quantile for 6 degrees of freedom or fewer
    }));
}

for (const p of [0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999, 1]) {
  Deno.test(`sample() keeps the fewest tokens that reach ${p}`, () =>
    withGpu(async (gpu) => {
      const options = { rows: repeat(LM_HP, 1000), topP: p, temperature: 1.2 };
      const { next } = await draw(gpu, options);
      assertEquals([...new Set(next)].sort(), topPIds(LM_HP, p, 1.2));
    }));
}

Deno.test("sample() applies top-p to what top-k left", () =>
  withGpu(async (gpu) => {
    // Of the three likeliest, 2 has 0.57 and with 1.01 0.79; of all, 2 has 0.40.
    const { next } = await draw(gpu, { rows: repeat(LM_HP, 500), topK: 3, topP: 0.55 });
    assertEquals([...new Set(next)], [6]);
  }));

Deno.test("sample() keeps negative and tiny logits in order", () =>
  withGpu(async (gpu) => {
    const row = [-5, -1, -1e-30, 1e-30, -40, -3.0e38];
    const { next } = await draw(gpu, { rows: repeat(row, 500), topK: 2 });
    assertEquals([...new Set(next)].sort(), [2, 3]);
  }));

Deno.test("sample() by greedy takes the lowest id of the largest, and a huge temperature does not matter", () =>
  withGpu(async (gpu) => {
    const rows = [[1, 3, 3, 2, 3], [0, 0, 0, 0, 0], [-9, -8, -7, -8, -9], [1e30, 0, 0, 0, 1e30]];
    const { next } = await draw(gpu, { rows, greedy: true, temperature: 50, topK: 1, topP: 0.1 });
    assertEquals(next, [1, 0, 2, 0]);
  }));

Deno.test("sample() works on logits whose exponentials overflow or vanish", () =>
  withGpu(async (gpu) => {
    for (const shift of [-1e4, 0, 1e4]) {
      const rows = repeat([shift, shift, shift - 1e3], 1000);
      const { next, logprobs } = await draw(gpu, { rows });
      const [a, b, c] = countsOf(next, 3);
      assert(Math.abs(a - b) < 3.3 * Math.sqrt(1000), `${a} and ${b} at ${shift}`);
      assertEquals(c, 0);
      assertClose(logprobs, Array(1000).fill(-Math.LN2), { atol: 1e-3 }); // spacing of f32 at 1e4
    }
  }));

Deno.test("sample() excludes every stop id until enough tokens were generated", () =>
  withGpu(async (gpu) => {
    const rows = repeat([2, 5, 1, 5], 300);
    const options = { rows, stopIds: [1, 3], minNewTokens: 4 };
    for (const how of [{}, { greedy: true }, { topK: 1 }, { topP: 0.1 }]) {
      const early = await draw(gpu, { ...options, ...how, generated: 3 });
      const late = await draw(gpu, { ...options, ...how, generated: 4 });
      assert(early.next.every((id) => id === 0 || id === 2));
      assert(late.next.some((id) => id === 1 || id === 3));
    }
    const { logprobs } = await draw(gpu, { ...options, greedy: true, generated: 0 });
    assertClose([logprobs[0]], [logSoftmax(rows[0])[0]], { atol: 1e-6 }); // of all four tokens
  }));

Deno.test("sample() reports NaN for a row that holds NaN", () =>
  withGpu(async (gpu) => {
    const { next, logprobs } = await draw(gpu, { rows: [[0, NaN, 0], [0, 0, 0]] });
    assert(next[0] < 3);
    assert(Number.isNaN(logprobs[0]));
    assertClose([logprobs[1]], [-Math.log(3)], { atol: 1e-6 });
  }));

Deno.test("sample() refuses tensors of other sizes", () =>
  withGpu((gpu) => {
    const good = {
      logits: gpu.empty([2, 3]),
      rows: gpu.empty([2], "u32"),
      state: gpu.empty([4], "u32"),
      stopIds: gpu.empty([1], "u32"),
      next: gpu.empty([2], "u32"),
      logprobs: gpu.empty([2]),
    };
    const wrong = [
      { rows: good.state },
      { state: good.next },
      { next: good.stopIds },
      { logprobs: good.logits },
    ];
    for (const tensors of wrong) {
      assertThrows(() => sample(gpu.record(), { ...good, ...tensors }, PLAIN), ShapeError);
    }
    gpu.free(...Object.values(good));
  }));
