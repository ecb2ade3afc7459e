/**
 * Matrix products beside other libraries on WebGPU, on the same adapter, in the same process, taking turns:
 *
 * ```
 * deno run --allow-read --allow-env --config tests/bench/peers/deno.json tests/bench/peers.ts [--large] [--json]
 * ```
 *
 * The libraries are downloaded on the first run; the project does not depend on them. Every result is compared with ours. A
 * library that cannot take a product, or takes another, has the reason in its place. `--large` adds products of 4,096,
 * for a graphics card.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { Gpu } from "../../kernels/runtime/mod.ts";
import { measurePeaks } from "../../train/adapter_peaks.ts";
import { median } from "../../train/stats.ts";
import { digits, markdownTable } from "./figures.ts";
import { LIBRARIES, type Library, type PreparedProduct, type Product } from "./peer_libraries.ts";

/** Of one library at one product. */
const ROUNDS = 5;
/** Of a round at least, so that the 10 ms which a wait costs in Deno are a twentieth, of every library's. */
const SECONDS = 0.2;

type Sizes = Omit<Product, "a" | "b">;

/**
 * Products of a layer of GPT-2 and of its head, on 512 tokens as in training, and on 16, 2 and 1, where decoding lives. In
 * layout `tn`, the gradient of a weight, tokens are the depth.
 */
const GPT2: readonly Sizes[] = [512, 16, 2, 1].flatMap((tokens) => [
  ...(["nn", "nt"] as const).map((layout) => ({ layout, rows: tokens, columns: 768, depth: 768 })),
  { layout: "tn", rows: 768, columns: 768, depth: tokens },
  ...(tokens < 512 ? [{ layout: "nt" as const, rows: tokens, columns: 50_257, depth: 768 }] : []),
]);
const LARGE: readonly Sizes[] = (["nn", "nt", "tn"] as const).map((layout) => ({
  layout,
  rows: 4096,
  columns: 4096,
  depth: 4096,
}));

interface Measured {
  /** Median of the rounds, in ms a product; absent where there is a problem. */
  ms?: number;
  problem?: string;
}

const { values: options } = parseArgs({
  options: {
    large: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
using gpu = await Gpu.open();
const libraries = new Map<string, Library | string>();
for (const [name, open] of Object.entries(LIBRARIES)) {
  libraries.set(name, await open(gpu).catch(messageOf));
}

const products: { sizes: Sizes; libraries: Record<string, Measured> }[] = [];
for (const sizes of options.large ? [...GPT2, ...LARGE] : GPT2) {
  products.push({ sizes, libraries: await compare(sizes) });
}
const { flopsPerSecond } = await measurePeaks(gpu);
if (options.json) {
  console.log(JSON.stringify({ adapter: gpu.description, flopsPerSecond, products }));
} else {
  console.log(`${gpu.description}: at most ${digits(flopsPerSecond / 1e9)} GFLOP/s\n`);
  for (const line of table()) console.log(line);
  for (const line of problems()) console.log(line);
}
Deno.exit(); // the others leave devices open

/** Times a product in every library, which take turns. */
async function compare(sizes: Sizes): Promise<Record<string, Measured>> {
  const product = withFactors(sizes);
  const entrants: { name: string; prepared: PreparedProduct; repeats: number; times: number[] }[] =
    [];
  const measured: Record<string, Measured> = {};
  let expected: ArrayLike<number> | undefined;
  for (const [name, library] of libraries) {
    try {
      if (typeof library === "string") throw new Error(library);
      const { prepared, result } = await firstResult(library, product);
      expected ??= result;
      checkSame(result, expected);
      entrants.push({ name, prepared, repeats: await repeatsOf(prepared), times: [] });
    } catch (error) {
      measured[name] = { problem: messageOf(error) };
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { prepared, repeats, times } of entrants) {
      times.push(await secondsOf(() => prepared.run(repeats)) / repeats);
    }
  }
  for (const { name, prepared, times } of entrants) {
    measured[name] = { ms: 1000 * median(times) };
    prepared[Symbol.dispose]();
  }
  return measured;
}

/** Compiles and takes the product. What an adapter does not allow is no exception in every library, but is one here. */
async function firstResult({ device, prepare }: Library, product: Product) {
  device.pushErrorScope("validation");
  const prepared = prepare(product);
  const result = await prepared.result().catch((error: Error) => error);
  const refused = await device.popErrorScope();
  if (!refused && !(result instanceof Error)) return { prepared, result };
  prepared[Symbol.dispose]();
  throw refused ? new Error(refused.message) : result;
}

function withFactors({ layout, rows, columns, depth }: Sizes): Product {
  const random = (size: number) => Float32Array.from({ length: size }, () => Math.random() - 0.5);
  return { layout, rows, columns, depth, a: random(rows * depth), b: random(depth * columns) };
}

/** How often to take a product in a round. */
async function repeatsOf(prepared: PreparedProduct): Promise<number> {
  for (let repeats = 1;;) {
    const seconds = await secondsOf(() => prepared.run(repeats));
    if (seconds > SECONDS) return repeats;
    repeats = Math.ceil(repeats * Math.min(10, 1.2 * SECONDS / seconds));
  }
}

/** Sums of some thousand products of numbers below 1/2 differ by rounding only. */
function checkSame(result: ArrayLike<number>, expected: ArrayLike<number>): void {
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(result[i]! - expected[i]!);
    if (!(error < 1e-3)) throw new Error(`its result differs from ours by ${error}`);
  }
}

async function secondsOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function table(): string[] {
  const [first = "", ...others] = libraries.keys();
  const rows = products.map(({ sizes, libraries }) => {
    const own = libraries[first]?.ms;
    const gflops = own ? 2 * sizes.rows * sizes.columns * sizes.depth / own / 1e6 : NaN;
    return [
      showSizes(sizes),
      own ? digits(own) : "-",
      digits(gflops),
      `${(100e9 * gflops / flopsPerSecond).toFixed(0)} %`,
      ...others.flatMap((name) => {
        const ms = libraries[name]?.ms;
        return ms && own ? [digits(ms), `${digits(ms / own)} x`] : [ms ? digits(ms) : "-", "-"];
      }),
    ];
  });
  const head = ["rows x columns x depth", `${first}, ms`, "GFLOP/s", "of limit"];
  return markdownTable([...head, ...others.flatMap((name) => [`${name}, ms`, "ratio"])], rows);
}

function showSizes({ layout, rows, columns, depth }: Sizes): string {
  return `${layout} ${rows} x ${columns} x ${depth}`;
}

/** Why there is no time, each reason once. */
function problems(): string[] {
  const reasons = products.flatMap(({ sizes, libraries }) =>
    Object.entries(libraries).flatMap(([name, { problem }]) =>
      problem ? [{ what: `${name}: ${problem}`, where: showSizes(sizes) }] : []
    )
  );
  return [...Map.groupBy(reasons, ({ what }) => what)].map(([what, of]) =>
    `\n${what} (${of.map(({ where }) => where).join(", ")})`
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.split("\n")[0]! : String(error);
}
