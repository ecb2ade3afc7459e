import { matmul } from "./matmul.ts";
import {
  describeChoice,
  type MatmulChoice,
  parseKind,
  possibleChoices,
  usualChoice,
} from "./matmul_choice.ts";
import { type Gpu, GpuMemoryError, ShapeError, type Tensor } from "./runtime/mod.ts";

/** Milliseconds of a measurement, against which a submit is little. */
const ROUND_MS = 4;
const ROUNDS = 2;

/** Rows that are no less than any tile has, and a multiple of the usual ones. */
const ENOUGH = 192;

/** A way that was not the usual one is chosen if it takes at most so much of the usual one's time. */
const CLEAR_GAIN = 0.97;

/**
 * Measures the ways to compute those products that were asked of the GPU and have no choice yet, and chooses the
 * fastest of each kind in `gpu.tuning`. Takes memory for one product at a time, and leaves none taken.
 *
 * @param measured Hears of each kind that is decided, and of how many there are.
 */
export async function tuneMatmul(
  gpu: Gpu,
  measured: (done: number, of: number) => void = () => {},
): Promise<void> {
  const kinds = gpu.tuning.undecided;
  const peakBytes = gpu.peakBytes;
  for (const [index, kind] of kinds.entries()) {
    const choice = await fastest(gpu, kind);
    if (choice) gpu.tuning.choose(kind, describeChoice(choice));
    measured(index + 1, kinds.length);
  }
  gpu.peakBytes = peakBytes; // of the work that was asked for, not of this
}

/** The fastest way to compute a kind of product; nothing if there is one way only, or no memory to compare them. */
async function fastest(gpu: Gpu, kind: string): Promise<MatmulChoice | undefined> {
  const product = parseKind(kind);
  if (!product) return undefined;
  const { layout, columns } = product;
  // A CPU computes tile after tile: so many rows, or such a depth, tell as much about more of them.
  const most = gpu.software ? ENOUGH : Infinity;
  const rows = layout === "tn" ? product.rows : Math.min(product.rows, most);
  const depth = layout === "tn" ? Math.min(product.depth, most) : product.depth;
  const sizes = { ...product, scale: 1, ...PACKED };
  const usual = describeChoice(usualChoice(gpu, layout, sizes));
  const ways = possibleChoices(gpu, layout, sizes)
    .map((choice) => ({ choice, name: describeChoice(choice), ms: Infinity }));
  if (ways.length < 2) return ways[0]?.choice;
  const tensors: Tensor[] = [];
  const take = (shape: [number, number]) => tensors[tensors.push(gpu.empty(shape)) - 1]!;
  try {
    const a = take(layout === "tn" ? [depth, rows] : [rows, depth]);
    const b = take(layout === "nt" ? [columns, depth] : [depth, columns]);
    const out = take([rows, columns]);
    const time = async (choice: MatmulChoice, repeats: number) => {
      const pass = gpu.record("tuning");
      for (let i = 0; i < repeats; i++) matmul(pass, { a, b, out }, { layout, choice });
      const start = performance.now();
      pass.submit();
      await gpu.read(out.rows(0, 1));
      return (performance.now() - start) / repeats;
    };
    for (const { choice } of ways) await time(choice, 1); // compiles
    const once = await time(ways[0]!.choice, 1);
    const repeats = Math.min(500, Math.ceil(ROUND_MS / once));
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ways) way.ms = Math.min(way.ms, await time(way.choice, repeats));
    }
  } catch (error) {
    if (error instanceof GpuMemoryError || error instanceof ShapeError) return undefined;
    throw error;
  } finally {
    gpu.free(...tensors);
  }
  const best = ways.reduce((best, way) => way.ms < best.ms ? way : best);
  const known = ways.find(({ name }) => name === usual) ?? best;
  return (best.ms < CLEAR_GAIN * known.ms ? best : known).choice;
}

/** Of a product whose tensors are contiguous and begin where their memory does; multiples of four, as all kinds have. */
const PACKED = { aStride: 0, bStride: 0, outStride: 0, aOffset: 0, bOffset: 0, outOffset: 0 };
