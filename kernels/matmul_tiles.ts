/**
 * Matrix products for adapters that are programs on the CPU, as register tiles of one subgroup.
 *
 * This is the only generated WGSL of the project. Such an adapter spends its time on loads in loops and on
 * barriers (a coroutine switch of every subgroup), so a workgroup is one subgroup without barriers, each of its
 * lanes holds up to 80 rows of four columns in registers, and rows of A travel from lane to lane by broadcasts.
 * What a tile needs of memory that is pages apart is touched beforehand, all at once. Registers cannot be indexed,
 * hence the text is unrolled by a program rather than by hand. It is five to nine times as fast there as the
 * hand-written tiles in workgroup memory; tests/bench/matmul_bench.ts measures both.
 */
import geluFunctions from "./gelu_functions.wgsl" with { type: "text" };
import vectors from "./matmul_vectors.wgsl" with { type: "text" };
import { type Kernel, kernel } from "./runtime/mod.ts";

/** Which operands are transposed: `nn` is A B, `nt` is A B^T, `tn` is A^T B. */
export type Layout = "nn" | "nt" | "tn";

/** Tensors of every matmul kernel. */
export const BINDINGS = {
  a: "read",
  b: "read",
  bias: "read?",
  residual: "read?",
  out: "update",
  preactivation: "write?",
} as const;

/**
 * The product is (rows, columns), a sum over depth times `scale`. The strides are elements from row to row, the
 * offsets those before the first.
 */
export const PARAMS = {
  rows: "u32",
  columns: "u32",
  depth: "u32",
  aStride: "u32",
  bStride: "u32",
  outStride: "u32",
  aOffset: "u32",
  bOffset: "u32",
  outOffset: "u32",
  scale: "f32",
} as const;

export type MatmulKernel = Kernel<typeof BINDINGS, typeof PARAMS>;

/** Vectors of four in a line of a CPU's caches. */
const LINE = 4;

/** How many k of B are touched at once, and so far ahead. */
const AHEAD = 32;

/** What a register tile is like. */
export interface Tile {
  /** Its rows. */
  height: number;
  /** In layout `nn`: whether to touch B some rows ahead of its use (default false). */
  ahead?: boolean | undefined;
  /** Whether a round of the loop takes {@linkcode UNROLLED} k (default false). */
  unrolled?: boolean | undefined;
}

/**
 * How many k a round of the loop takes. In layout `tn`, where both operands have one k after another, nothing asks for
 * four, and text that stays in the CPU's cache of decoded instructions is faster by a tenth.
 */
const STEP: Readonly<Record<Layout, number>> = { nn: 4, nt: 4, tn: 2 };

/** And in a tile that is unrolled: what a round costs beside its sums then counts less, if its text stays in the cache. */
const UNROLLED = 8;

/** How many k a round of the loop takes in a tile; depth must be a multiple of it, but in layout `tn`. */
export function stepOf(layout: Layout, { unrolled }: Tile): number {
  return unrolled ? UNROLLED : STEP[layout];
}

/** A tile as text: `40`, `40 ahead`, `16 unrolled`; with its columns, `40x32`. */
export function describeTile({ height, ahead, unrolled }: Tile, columns?: number): string {
  const size = columns === undefined ? `${height}` : `${height}x${columns}`;
  return `${size}${ahead ? " ahead" : ""}${unrolled ? " unrolled" : ""}`;
}

const kernels = new Map<string, MatmulKernel>();

/**
 * The kernel of one layout whose workgroups compute tiles of `4 * lanes` columns.
 *
 * Columns, strides and offsets must be multiples of 4, and so must depth, or for `tn` rows instead. A row of the product is the same bits
 * whatever the tile: every element is summed over depth in order.
 *
 * Workgroups are counted along columns first in layout `tn`, whose product is what takes memory, along rows in the
 * others, which so read a strip of B once.
 *
 * @param lanes The adapter's subgroup size, which is the workgroup's.
 */
export function tileKernel(layout: Layout, lanes: number, tile: Tile): MatmulKernel {
  const key = `${layout} ${describeTile(tile, 4 * lanes)}`;
  let made = kernels.get(key);
  if (!made) {
    made = kernel({
      label: `matmul ${key}`,
      code: tileCode(layout, lanes, tile) + vectors + geluFunctions,
      entry: "matmul_tile",
      bindings: BINDINGS,
      params: PARAMS,
      subgroups: true,
    });
    kernels.set(key, made);
  }
  return made;
}

/** For the architecture test: every layout, on adapters with eight lanes. */
export const KERNELS: readonly Kernel[] = (["nn", "nt", "tn"] as const)
  .map((layout) => tileKernel(layout, 8, { height: 32, ahead: layout === "nn" }));

/** How an operand reaches the registers: text before the loop over depth, and in its body. */
interface Operand {
  setup: string;
  load: string;
  advance: string;
}

/** A's operand, with the arguments of the broadcast that gives every lane row `i` of the tile, `q` beyond k. */
interface OperandA extends Operand {
  element: (i: number, q: number) => string;
}

/** Repeats a line of text for 0 to count - 1. */
function each(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => line(index)).join("\n");
}

/** A as it lies: lane `l` loads k of row `l`, four at a time; with more rows than lanes, of rows `l + lanes` and so on. */
function plainA(step: number, height: number, lanes: number): OperandA {
  const count = Math.ceil(height / lanes);
  return {
    setup: each(
      count,
      (r) =>
        `  var a_at_${r} = min(first_row + ${
          r * lanes
        } + lane, params.rows - 1) * a_step + a_start;`,
    ),
    load: each(
      step / 4,
      (g) => each(count, (r) => `    let a_${r}_${g} = a[a_at_${r} + ${g}];`),
    ),
    advance: each(count, (r) => `    a_at_${r} += ${step / 4};`),
    element: (i, q) => `a_${Math.floor(i / lanes)}_${Math.floor(q / 4)}[${q % 4}], ${i % lanes}u`,
  };
}

/** A transposed: lane `l` loads four rows, or twice four, at each k; `raggedB` has the zeros for those beyond depth. */
function transposedA(step: number, height: number, lanes: number): OperandA {
  const count = Math.ceil(height / (4 * lanes));
  return {
    setup: each(
      count,
      (r) =>
        `  let a_at_${r} = min(first_row / 4 + ${
          r * lanes
        } + lane, params.rows / 4 - 1) + a_start;`,
    ),
    load: each(
      step,
      (q) =>
        each(
          count,
          (r) => `    let a_${r}_${q} = a[a_at_${r} + min(k + ${q}, params.depth - 1) * a_step];`,
        ),
    ),
    advance: "",
    element: (i, q) =>
      `a_${Math.floor(i / (4 * lanes))}_${q}[${i % 4}], ${Math.floor(i / 4) % lanes}u`,
  };
}

/** B as it lies: four columns at each k. */
function plainB(step: number, lanes: number, ahead: boolean): Operand {
  return {
    setup: "  var b_at = near_column + b_start;",
    load: (ahead ? touchB(lanes) : "") +
      each(step, (q) => `    let b_${q} = b[b_at + ${q} * b_step];`),
    advance: `    b_at += ${step} * b_step;`,
  };
}

/** B as it lies where depth is any number: zero beyond it. */
function raggedB(step: number): Operand {
  return {
    setup: "",
    load: each(step, (q) => {
      const at = `b_start + near_column + min(k + ${q}, params.depth - 1) * b_step`;
      return `    let b_${q} = select(vec4f(), b[${at}], k + ${q} < params.depth);`;
    }),
    advance: "",
  };
}

/** B transposed: four k at a time of each of four columns, turned; a turn costs nothing where lanes are vectors. */
function transposedB(step: number): Operand {
  const turned = (g: number, q: number) =>
    `vec4f(${[0, 1, 2, 3].map((j) => `t_${j}_${g}[${q}]`).join(", ")})`;
  return {
    setup: each(4, (j) => `  var b_at_${j} = (4 * near_column + ${j}) * b_step + b_start;`),
    load: each(
      step / 4,
      (g) =>
        each(4, (j) => `    let t_${j}_${g} = b[b_at_${j} + ${g}];`) + "\n" +
        each(4, (q) => `    let b_${4 * g + q} = ${turned(g, q)};`),
    ),
    advance: each(4, (j) => `    b_at_${j} += ${step / 4};`),
  };
}

/**
 * Loads a number of every line of the cache that a tile needs of some rows of a matrix, four rows at a time, so that all
 * are on their way together. The rows may be pages apart, of which a processor's own prefetching makes nothing: where
 * a line is loaded only when it is needed, the tile waits for each in turn.
 *
 * @param at Text of the place of the vector at `near_line` in row `row`, which it is given.
 */
function touch(
  matrix: string,
  rows: number,
  lanes: number,
  at: (row: string) => string,
): string {
  const row = (i: number) => `${i * LINE} + lane / ${lanes / LINE}`;
  return each(
    rows / LINE,
    (i) => `      touched |= bitcast<u32>(${matrix}[${at(row(i))}].x);`,
  );
}

/** Touches the rows of B that are {@linkcode AHEAD}. */
function touchB(lanes: number): string {
  const at = (row: string) =>
    `b_start + near_line + min(k + ${AHEAD} + ${row}, params.depth - 1) * b_step`;
  return `    if (k % ${AHEAD} == 0) {\n${touch("b", AHEAD, lanes, at)}\n    }\n`;
}

/** Touches what the tile will overwrite, which waits for its old content all the same. */
function touchOut(height: number, lanes: number): string {
  const at = (row: string) =>
    `(params.out_offset + min(first_row + ${row}, params.rows - 1) * params.out_stride) / 4 + near_line`;
  return touch("out", height, lanes, at);
}

function tileCode(layout: Layout, lanes: number, tile: Tile): string {
  const { height, ahead = false } = tile;
  const step = stepOf(layout, tile);
  const a = layout === "tn" ? transposedA(step, height, lanes) : plainA(step, height, lanes);
  const b = layout === "nn"
    ? plainB(step, lanes, ahead)
    : layout === "nt"
    ? transposedB(step)
    : raggedB(step);
  // Measured: which comes first decides how well the driver's compiler uses the registers.
  const loads = layout === "tn" ? [a.load, b.load] : [b.load, a.load];
  const [rowAxis, columnAxis] = layout === "tn" ? ["y", "x"] : ["x", "y"];
  // Never so, which no compiler can know: what is not used would not be loaded.
  const use = "  if (params.rows == 0) { sum_0.x += bitcast<f32>(touched); }";
  // Moving takes a tenth of the time where there is little depth, as there often is in layout `tn`.
  const some = Math.min(layout === "tn" ? 16 : 8, height);
  const four = Math.min(4, step); // k whose sums come row by row; with more, too many vectors of B are held
  const sum = (i: number, q: number) =>
    `    sum_${i} = fma(vec4f(subgroupBroadcast(${a.element(i, q)})), b_${q}, sum_${i});`;
  return `
@compute @workgroup_size(${lanes})
fn matmul_tile(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Strides, offsets and columns in vectors of four. Lanes and rows beyond the edge repeat the last one, and do not store.
  let a_step = params.a_stride / 4;
  let b_step = params.b_stride / 4;
  let a_start = params.a_offset / 4;
  let b_start = params.b_offset / 4;
  let first_row = tile.${rowAxis} * ${height};
  let first_column = tile.${columnAxis} * ${lanes};
  let column = first_column + lane;
  let near_column = min(column, params.columns / 4 - 1);
  let near_line = min(first_column + ${LINE} * (lane % ${lanes / LINE}), params.columns / 4 - 1);
  var touched = 0u;
${layout === "tn" ? touchOut(height, lanes) : ""}
${a.setup}
${b.setup}
  var start = vec4f();
  if (HAS_BIAS) { start = bias[near_column]; }
${each(height, (i) => `  var sum_${i} = start;`)}
  for (var k = 0u; k < params.depth; k += ${step}) {
    // All loads come before all sums, which the compiler of software Vulkan does not arrange by itself.
${loads.join("\n")}
${each(step / four, (g) => each(height, (i) => each(four, (q) => sum(i, four * g + q))))}
${a.advance}
${b.advance}
  }
${layout === "tn" || ahead ? use : ""}
  // The sums move up some at a time: with this code once for every row, compiling takes seconds.
  for (var row = first_row; row < min(first_row + ${height}, params.rows); row += ${some}) {
${each(some, (i) => `    finish(row + ${i}, column, sum_${i});`)}
${each(height - some, (i) => `    sum_${i} = sum_${i + some};`)}
  }
}
`;
}
