import { type AttentionWay, parseAttentionKind, WAYS } from "./attention_choice.ts";
import { attentionBackward, attentionForward } from "./attention.ts";
import { attentionDecode } from "./attention_decode.ts";
import { matmul } from "./matmul.ts";
import { describeChoice, parseKind, possibleChoices, usualChoice } from "./matmul_choice.ts";
import {
  type Dtype,
  type Gpu,
  GpuMemoryError,
  type Pass,
  ShapeError,
  type Tensor,
} from "./runtime/mod.ts";

/** Milliseconds of a measurement, against which a submit is little. */
const ROUND_MS = 4;
const ROUNDS = 2;

/** Rows that are no less than any tile has, and a multiple of the usual ones. */
const ENOUGH = 192;

/** A way that was not the usual one is chosen if it takes at most so much of the usual one's time. */
const CLEAR_GAIN = 0.97;

/** Ways to do the same work, by name; the usual one first. */
type Ways = ReadonlyMap<string, (pass: Pass) => void>;

/** Gives tensors that last until the work is measured: of zeros, and of whole numbers. */
interface Take {
  (...shape: number[]): Tensor;
  whole(numbers: number[], shape: number[]): Tensor<"u32">;
}

/** What {@linkcode tune} measures. */
export interface TuneOptions {
  /** The kinds of work (default: what was asked of the GPU and has no choice yet). */
  kinds?: readonly string[];
  /** Hears of each kind that is decided, and of how many there are. */
  measured?: (done: number, of: number) => void;
}

/**
 * Measures the ways to do kinds of work, and chooses the fastest of each in `gpu.tuning`. Takes memory for one piece of
 * work at a time, and leaves none taken.
 */
export async function tune(
  gpu: Gpu,
  { kinds = gpu.tuning.undecided, measured }: TuneOptions = {},
): Promise<void> {
  const peakBytes = gpu.peakBytes;
  for (const [index, kind] of kinds.entries()) {
    const choice = await fastest(gpu, kind);
    if (choice) gpu.tuning.choose(kind, choice);
    measured?.(index + 1, kinds.length);
  }
  gpu.peakBytes = peakBytes; // of the work that was asked for, not of this
}

/** The fastest way to do a kind of work; nothing if the kind is unknown, or there is no memory to compare them. */
async function fastest(gpu: Gpu, kind: string): Promise<string | undefined> {
  const tensors: Tensor<Dtype>[] = [];
  const kept = <D extends Dtype>(tensor: Tensor<D>) => (tensors.push(tensor), tensor);
  const take: Take = Object.assign((...shape: number[]) => kept(gpu.empty(shape)), {
    whole: (numbers: number[], shape: number[]) => kept(gpu.tensor(numbers, shape, "u32")),
  });
  try {
    const ways = productWays(gpu, kind, take) ?? attentionWays(kind, take);
    const [usual, ...others] = ways?.keys() ?? [];
    if (!ways || usual === undefined || others.length === 0) return usual;
    const probe = take(4);
    const time = async (way: string, repeats: number) => {
      const pass = gpu.record("tuning");
      for (let i = 0; i < repeats; i++) ways.get(way)!(pass);
      const start = performance.now();
      pass.submit();
      await gpu.read(probe);
      return (performance.now() - start) / repeats;
    };
    for (const way of ways.keys()) await time(way, 1); // compiles
    const repeats = Math.min(500, Math.ceil(ROUND_MS / await time(usual, 1)));
    const times = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ways.keys()) {
        times.set(way, Math.min(times.get(way) ?? Infinity, await time(way, repeats)));
      }
    }
    const [way, ms] = [...times].reduce((best, one) => one[1] < best[1] ? one : best);
    return ms < CLEAR_GAIN * times.get(usual)! ? way : usual;
  } catch (error) {
    if (error instanceof GpuMemoryError || error instanceof ShapeError) return undefined;
    throw error;
  } finally {
    gpu.free(...tensors);
  }
}

/** The ways to compute a kind of matrix product. */
function productWays(gpu: Gpu, kind: string, take: Take): Ways | undefined {
  const product = parseKind(kind);
  if (!product) return undefined;
  const { layout, columns } = product;
  // A CPU computes tile after tile: so many rows, or such a depth, tell as much about more of them.
  const most = gpu.software ? ENOUGH : Infinity;
  const rows = layout === "tn" ? product.rows : Math.min(product.rows, most);
  const depth = layout === "tn" ? Math.min(product.depth, most) : product.depth;
  const a = layout === "tn" ? take(depth, rows) : take(rows, depth);
  const b = layout === "nt" ? take(columns, depth) : take(depth, columns);
  const out = take(rows, columns);
  const choices = possibleChoices(gpu, layout, product);
  const usual = usualChoice(gpu, layout, { ...product, ...PACKED });
  return new Map(
    [usual, ...choices].map((choice) => [
      describeChoice(choice),
      (pass) => matmul(pass, { a, b, out }, { layout, choice }),
    ]),
  );
}

/** Of a product whose tensors are contiguous and begin where their memory does. */
const PACKED = {
  ...{ aStride: 0, bStride: 0, outStride: 0 },
  ...{ aOffset: 0, bOffset: 0, outOffset: 0, scale: 1 },
};

/** The ways to compute a kind of attention, each followed by another kernel, as in a model. */
function attentionWays(kind: string, take: Take): Ways | undefined {
  const parsed = parseAttentionKind(kind);
  if (!parsed) return undefined;
  const { operation, sizes: { groups: B, T, headSize } } = parsed;
  const [qkv, out, lse] = [take(B, T, 3 * headSize), take(B, T, headSize), take(B, 1, T)];
  const keys = take.whole(Array.from({ length: 2 * B }, (_, i) => i % 2 * T), [B, 2]); // all of them
  const [square, result] = [take(64, 64), take(64, 64)];
  const product = (pass: Pass) => matmul(pass, { a: square, b: square, out: result });
  const record = {
    forward: () => (pass: Pass, way: AttentionWay) =>
      attentionForward(pass, { qkv, keys, out, lse }, { heads: 1, way }),
    backward: () => {
      const [dout, delta, dqkv] = [take(B, T, headSize), take(B, 1, T), take(B, T, 3 * headSize)];
      return (pass: Pass, way: AttentionWay) =>
        attentionBackward(pass, { qkv, keys, out, lse, dout, delta, dqkv }, { heads: 1, way });
    },
    decode: () => {
      const [cache, position] = [take(B, T, 2 * headSize), take.whole([T - 1], [1])];
      const token = { qkv: take(B, 3 * headSize), out: take(B, headSize) };
      return (pass: Pass, way: AttentionWay) =>
        attentionDecode(pass, { ...token, cache, keys, position }, { heads: 1, way });
    },
  }[operation]();
  return new Map(WAYS.map((way) => [way, (pass) => {
    record(pass, way);
    product(pass);
  }]));
}
