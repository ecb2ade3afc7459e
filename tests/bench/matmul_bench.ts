/**
 * Speed of matmul at the shapes of a training step: `deno run --allow-env tests/bench/matmul_bench.ts`.
 *
 * Families and shapes take turns, so that a slow moment of the machine hits all of them alike. Compare the
 * best figures: the median says how busy the machine was.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { matmul } from "../../kernels/matmul.ts";
import { Gpu } from "../../kernels/runtime/mod.ts";

const ROUNDS = 7;
const FLOP_PER_ROUND = 2e8; // milliseconds, against which a submit is nothing

/** Layout, rows, columns, depth; 192 channels and 4,096 tokens are the embedded policy's. */
const SHAPES = [
  ["nn", 1024, 576, 192], // attention's projections
  ["nn", 1024, 192, 192],
  ["nn", 1024, 768, 192], // the feed-forward layer
  ["nn", 1024, 192, 768],
  ["nt", 1024, 4096, 192], // the head
  ["nt", 1024, 192, 576], // gradients of inputs
  ["nt", 1024, 192, 768],
  ["nt", 1024, 768, 192],
  ["nn", 1024, 192, 4096],
  ["tn", 192, 576, 1024], // gradients of weights
  ["tn", 192, 768, 1024],
  ["tn", 768, 192, 1024],
  ["tn", 4096, 192, 1024],
  ["nn", 16, 576, 192], // one token of each of 16 rows
  ["nt", 16, 4096, 192],
  ["nn", 512, 768, 768], // GPT-2
] as const;

interface Case {
  name: string;
  flop: number;
  repeats: number;
  gpu: Gpu;
  record: (repeats: number) => void;
  /** Milliseconds of one product, one entry a round. */
  times: number[];
}

function cases(gpu: Gpu): Case[] {
  return SHAPES.map(([layout, rows, columns, depth]) => {
    const random = (size: number) => Float32Array.from({ length: size }, () => Math.random() - 0.5);
    const a = gpu.tensor(random(rows * depth), layout === "tn" ? [depth, rows] : [rows, depth]);
    const b = gpu.tensor(
      random(depth * columns),
      layout === "nt" ? [columns, depth] : [depth, columns],
    );
    const out = gpu.empty([rows, columns]);
    const flop = 2 * rows * columns * depth;
    return {
      name: `${layout} ${rows} x ${columns} x ${depth}`,
      flop,
      repeats: Math.ceil(FLOP_PER_ROUND / flop),
      gpu,
      record: (repeats) => {
        const pass = gpu.record();
        for (let i = 0; i < repeats; i++) matmul(pass, { a, b, out }, { layout });
        pass.submit();
      },
      times: [],
    };
  });
}

/** Milliseconds of one product among `repeats`. */
async function time({ gpu, record }: Case, repeats: number): Promise<number> {
  const start = performance.now();
  record(repeats);
  const done = gpu.device.queue.onSubmittedWorkDone(); // Deno waits in the call, then 10 ms more
  const milliseconds = performance.now() - start;
  await done;
  return milliseconds / repeats;
}

function gflops({ flop, times }: Case): { best: string; median: string } {
  const sorted = times.toSorted((x, y) => x - y);
  const at = (index: number) => (flop / sorted[index]! / 1e6).toFixed(1);
  return { best: at(0), median: at(sorted.length >> 1) };
}

using withSubgroups = await Gpu.open();
using without = await Gpu.open({ subgroups: false });
const tiles = cases(withSubgroups);
const shared = cases(without);

for (const one of [...tiles, ...shared]) await time(one, 1); // compiles
for (let round = 0; round < ROUNDS; round++) {
  for (const one of [...tiles, ...shared]) one.times.push(await time(one, one.repeats));
}

console.log(`${withSubgroups.description}, GFLOP/s`);
console.table(Object.fromEntries(
  tiles.map((one, index) => {
    const [subgroup, workgroup] = [gflops(one), gflops(shared[index]!)];
    return [one.name, {
      "subgroups, best": subgroup.best,
      median: subgroup.median,
      "without, best": workgroup.best,
      "median ": workgroup.median,
    }];
  }),
));
