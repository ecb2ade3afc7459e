import { type AttentionWay, parseAttentionKind, WAYS } from "./attention_choice.ts";
import { attentionBackward, attentionForward } from "./attention.ts";
import { attentionDecode } from "./attention_decode.ts";
import { matmul } from "./matmul.ts";
import { describeChoice, parseKind, possibleChoices, usualChoice } from "./matmul_choice.ts";
import {
  compileKernels,
  type Dtype,
  type Gpu,
  GpuMemoryError,
  type Pass,
  ShapeError,
  type Tensor,
} from "./runtime/mod.ts";

/** Raised where ways are new or measured otherwise: what was chosen among others is to be measured again. */
export const TUNING_VERSION = 5;

/** Milliseconds of a measurement, against which a submit is little; and measurements of each way, of which the best counts. */
const ROUND_MS = 6;
const ROUNDS = 5;

/** From the third round on, a way is out of the race that took more than so many times the best one's time. */
const OUT_OF_REACH = 1.2;

/** Bytes of matrices that are taken in turns, so that each has left a processor's own caches when it comes again. */
const COLD_BYTES = 2 ** 25;

/**
 * Sizes beyond which nothing changes: rows are no less than any tile has, and a multiple of the usual ones; a strip of
 * so deep a matrix is more than a core's own caches hold.
 */
const ENOUGH = { rows: 192, columns: 4096, depth: 16_384 };
const ENOUGH_OF_GRADIENT = { rows: 4096, columns: 4096, depth: 192 };

/** A driver forgets code if that takes more than so many times as long among other kernels as by itself. */
const FORGOTTEN = 1.25;

/** A way that was not the usual one is chosen if it takes at most so much of the usual one's time. */
const CLEAR_GAIN = 0.96;

/** Ways to do the same work. */
interface Ways {
  /** By name. */
  all: ReadonlyMap<string, (pass: Pass) => void>;
  /** Names of those that are compared first, the usual one at the head. */
  first: readonly string[];
  /** Names of those that are compared with the fastest of the first. */
  then?: (fastest: string) => readonly string[];
  /**
   * Code like that of the usual way. Where this is given, the other ways, which take seconds to compile, are for drivers
   * that forget such code whenever another kernel runs.
   */
  forgettable?: Forgettable;
}

/** The same work some times over. */
interface Forgettable {
  /** With other kernels in between. */
  among: (pass: Pass, times: number) => void;
  /** With these after it. */
  alone: (pass: Pass, times: number) => void;
}

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
  const clearing = gpu.record("tuning"); // a driver finds memory when it is first used, which is not to be measured
  const zeros = (...shape: number[]) => {
    const tensor = kept(gpu.empty(shape));
    clearing.clear(tensor);
    return tensor;
  };
  const take: Take = Object.assign(zeros, {
    whole: (numbers: number[], shape: number[]) => kept(gpu.tensor(numbers, shape, "u32")),
  });
  try {
    const ways = productWays(gpu, kind, take) ?? attentionWays(kind, take);
    if (!ways) return undefined;
    clearing.submit();
    if (ways.forgettable && !await isForgotten(gpu, ways.forgettable)) return ways.first[0];
    const best = await race(gpu, ways.all, ways.first);
    return await race(gpu, ways.all, [best, ...ways.then?.(best) ?? []]);
  } catch (error) {
    if (error instanceof GpuMemoryError || error instanceof ShapeError) return undefined;
    throw error;
  } finally {
    gpu.free(...tensors);
  }
}

/** Milliseconds that recorded work takes. */
async function timeOf(gpu: Gpu, record: (pass: Pass) => void): Promise<number> {
  using resources = new DisposableStack();
  const probe = resources.adopt(gpu.empty([4]), (tensor) => gpu.free(tensor));
  const pass = gpu.record("tuning");
  record(pass);
  const start = performance.now();
  pass.submit();
  await gpu.read(probe);
  return performance.now() - start;
}

/** Whether the driver forgets the code, and so compiles it again and again where other kernels run in between. */
async function isForgotten(gpu: Gpu, { among, alone }: Forgettable): Promise<boolean> {
  await timeOf(gpu, (pass) => among(pass, 1)); // compiles
  const times = await timeOf(gpu, (pass) => among(pass, 1)) < ROUND_MS ? 8 : 4;
  const [mixed, unmixed] = [[], []] as [number[], number[]];
  for (let round = 0; round < ROUNDS; round++) {
    mixed.push(await timeOf(gpu, (pass) => among(pass, times)));
    unmixed.push(await timeOf(gpu, (pass) => alone(pass, times)));
  }
  return Math.min(...mixed) > FORGOTTEN * Math.min(...unmixed);
}

/** The name of the fastest of some ways; of the first one, unless another is clearly faster. */
async function race(
  gpu: Gpu,
  ways: Ways["all"],
  names: readonly string[],
): Promise<string> {
  const [usual, ...others] = names as [string, ...string[]];
  if (others.length === 0) return usual;
  const known = gpu.pipelines.count;
  const unused = gpu.record("tuning"); // recording makes pipelines
  for (const way of names) ways.get(way)!(unused);
  await compileKernels(gpu, [...gpu.pipelines.compiled(known)]);
  const time = async (way: string, repeats: number) => {
    const ms = await timeOf(gpu, (pass) => {
      for (let i = 0; i < repeats; i++) ways.get(way)!(pass);
    });
    return ms / repeats;
  };
  for (const way of names) await time(way, 1); // the first time takes longer
  const repeats = Math.min(500, Math.ceil(ROUND_MS / await time(usual, 1)));
  const times = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const within = round < 2 ? Infinity : OUT_OF_REACH * Math.min(...times.values());
    for (const way of names) {
      const before = times.get(way) ?? Infinity;
      if (before <= within) times.set(way, Math.min(before, await time(way, repeats)));
    }
  }
  const [way, ms] = [...times].reduce((best, one) => one[1] < best[1] ? one : best);
  return ms < CLEAR_GAIN * times.get(usual)! ? way : usual;
}

/** The ways to compute a kind of matrix product. */
function productWays(gpu: Gpu, kind: string, take: Take): Ways | undefined {
  const product = parseKind(kind);
  if (!product) return undefined;
  const { layout } = product;
  // A CPU computes tile after tile: so many of them tell as much as more would.
  const enough = layout === "tn" ? ENOUGH_OF_GRADIENT : ENOUGH;
  const size = (of: keyof typeof enough) =>
    gpu.software ? Math.min(product[of], enough[of]) : product[of];
  const [rows, columns, depth] = [size("rows"), size("columns"), size("depth")];
  const a = layout === "tn" ? take(depth, rows) : take(rows, depth);
  // As in a model, the larger one is not in the caches: a weight, or in layout `tn` a gradient.
  const several = (m: number, n: number) =>
    Array.from({ length: Math.ceil(COLD_BYTES / (4 * m * n)) }, () => take(m, n));
  const bs = {
    nn: () => several(depth, columns),
    nt: () => several(columns, depth),
    tn: () => [take(depth, columns)],
  }[layout]();
  const outs = layout === "tn" ? several(rows, columns) : [take(rows, columns)];
  const usual = usualChoice(gpu, layout, { ...product, ...PACKED, bStride: bs[0]!.rowStride });
  const choices = new Map(
    [usual, ...possibleChoices(gpu, layout, product)].map((way) => [describeChoice(way), way]),
  );
  const names = [...choices.keys()];
  let turn = 0;
  const all = new Map(names.map((name) => [name, (pass: Pass) => {
    const [b, out] = [bs[turn % bs.length]!, outs[turn % outs.length]!];
    turn++;
    matmul(pass, { a, b, out }, { layout, choice: choices.get(name)! });
  }]));
  // How tall a tile is counts most; the rest of it is decided for the height that is best, and the next one below it that
  // can be unrolled.
  const tileOf = (name: string) => {
    const choice = choices.get(name)!;
    return choice.family === "registers" ? choice : undefined;
  };
  const isAhead = tileOf(names[0]!)?.ahead;
  return {
    all,
    first: names.filter((name) => {
      const tile = tileOf(name);
      return !tile || !tile.unrolled && !tile.ahead === !isAhead;
    }),
    then: (fastest) => {
      const best = tileOf(fastest);
      if (!best) return [];
      const tiles = names.flatMap((name) => tileOf(name) ?? []);
      const tallest = Math.max(
        ...tiles.filter(({ unrolled, height }) => unrolled && height <= best.height)
          .map(({ height }) => height),
      );
      return names.filter((name) => {
        const tile = tileOf(name);
        return tile && name !== fastest &&
          (tile.height === best.height || tile.unrolled && tile.height === tallest);
      });
    },
  };
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
  const [qkv, out, lse] = [take(B * T, 3 * headSize), take(B * T, headSize), take(1, B * T)];
  const starts = Array.from({ length: B }, (_, b) => b * T);
  const bounds = take.whole(starts.flatMap((start) => [start, start + T]), [B, 2]);
  const sequences = { bounds, lengths: Array<number>(B).fill(T) };
  const [square, result] = [take(64, 64), take(64, 64)];
  const product = (pass: Pass) => matmul(pass, { a: square, b: square, out: result });
  const forward = (pass: Pass, way: AttentionWay) =>
    attentionForward(pass, { qkv, sequences, out, lse }, { heads: 1, way });
  const record = {
    forward: () => forward,
    backward: () => {
      const [dout, delta, dqkv] = [
        take(B * T, headSize),
        take(1, B * T),
        take(B * T, 3 * headSize),
      ];
      return (pass: Pass, way: AttentionWay) =>
        attentionBackward(pass, { qkv, sequences, out, lse, dout, delta, dqkv }, { heads: 1, way });
    },
    decode: () => {
      const [cache, position] = [take(B, T, 2 * headSize), take.whole([T - 1], [1])];
      const rows = take.whole(Array.from({ length: B }, (_, b) => b), [B]);
      const first = take.whole(Array<number>(B).fill(0), [B]);
      const token = { qkv: take(B, 3 * headSize), out: take(B, headSize) };
      return (pass: Pass, way: AttentionWay) =>
        attentionDecode(pass, { ...token, rows, cache, first, position }, { heads: 1, way });
    },
  }[operation]();
  const all = WAYS.map((way) =>
    [way, (pass: Pass) => {
      record(pass, way);
      product(pass);
    }] as const
  );
  // Not the backward itself: its two kernels come in turns, and are longer still.
  const one = operation === "backward" ? forward : record;
  const repeat = (times: number, work: () => void) => {
    for (let i = 0; i < times; i++) work();
  };
  const forgettable: Forgettable = {
    among: (pass, times) => repeat(times, () => (one(pass, WAYS[0]), product(pass))),
    alone: (pass, times) => {
      repeat(times, () => one(pass, WAYS[0]));
      repeat(times, () => product(pass));
    },
  };
  return { all: new Map(all), first: WAYS, forgettable };
}
