/**
 * Matrix products for adapters that are programs on the CPU, as register tiles of one subgroup.
 *
 * This is the only generated WGSL of the project. Such an adapter spends its time on loads in loops and on
 * barriers (a coroutine switch of every subgroup), so a workgroup is one subgroup without barriers, each of its
 * lanes holds up to 32 rows of four columns in registers, and rows of A travel from lane to lane by broadcasts.
 * Registers cannot be indexed, hence the text is unrolled by a program rather than by hand. It is five to nine
 * times as fast there as the hand-written tiles in workgroup memory; tests/bench/matmul_bench.ts measures both.
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

/**
 * How many k a round of the loop takes where both operands have one k after another: nothing asks for four there, and
 * text that stays in the CPU's cache of decoded instructions is faster by a tenth.
 */
const RAGGED_STEP = 2;

const kernels = new Map<string, MatmulKernel>();

/**
 * The kernel of one layout whose workgroups compute `height` rows of `4 * lanes` columns.
 *
 * Columns, strides and offsets must be multiples of 4, and so must depth, or for `tn` rows instead. A row of the product is the same bits
 * whatever the height: every element is summed over depth in order.
 *
 * @param lanes The adapter's subgroup size, which is the workgroup's.
 */
export function tileKernel(layout: Layout, height: number, lanes: number): MatmulKernel {
  const key = `${layout} ${height}x${4 * lanes}`;
  let tile = kernels.get(key);
  if (!tile) {
    tile = kernel({
      label: `matmul ${key}`,
      code: tileCode(layout, height, lanes) + vectors + geluFunctions,
      entry: "matmul_tile",
      bindings: BINDINGS,
      params: PARAMS,
      subgroups: true,
    });
    kernels.set(key, tile);
  }
  return tile;
}

/** For the architecture test: every layout, on adapters with eight lanes. */
export const KERNELS: readonly Kernel[] = (["nn", "nt", "tn"] as const)
  .map((layout) => tileKernel(layout, 32, 8));

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

/** A as it lies: lane `l` loads four k of row `l`; with more rows than lanes, of rows `l + lanes` and so on. */
function plainA(height: number, lanes: number): OperandA {
  const count = Math.ceil(height / lanes);
  return {
    setup: each(
      count,
      (r) =>
        `  var a_at_${r} = min(first_row + ${
          r * lanes
        } + lane, params.rows - 1) * a_step + a_start;`,
    ),
    load: each(count, (r) => `    let a_${r} = a[a_at_${r}];`),
    advance: each(count, (r) => `    a_at_${r} += 1;`),
    element: (i, q) => `a_${Math.floor(i / lanes)}[${q}], ${i % lanes}u`,
  };
}

/** A transposed: lane `l` loads four rows, or twice four, at each k; `raggedB` has the zeros for those beyond depth. */
function transposedA(height: number, lanes: number): OperandA {
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
      RAGGED_STEP,
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

/** B as it lies: four columns at each of four k. */
function plainB(): Operand {
  return {
    setup: "  var b_at = near_column + b_start;",
    load: each(4, (q) => `    let b_${q} = b[b_at + ${q} * b_step];`),
    advance: "    b_at += 4 * b_step;",
  };
}

/** B as it lies where depth is any number, a few k of it at a time: zero beyond it. */
function raggedB(): Operand {
  return {
    setup: "",
    load: each(RAGGED_STEP, (q) => {
      const at = `b_start + near_column + min(k + ${q}, params.depth - 1) * b_step`;
      return `    let b_${q} = select(vec4f(), b[${at}], k + ${q} < params.depth);`;
    }),
    advance: "",
  };
}

/** B transposed: four k of each of four columns, turned; a turn costs nothing where lanes are vectors. */
function transposedB(): Operand {
  return {
    setup: each(4, (j) => `  var b_at_${j} = (4 * near_column + ${j}) * b_step + b_start;`),
    load: [
      each(4, (j) => `    let t_${j} = b[b_at_${j}];`),
      each(4, (q) => `    let b_${q} = vec4f(t_0[${q}], t_1[${q}], t_2[${q}], t_3[${q}]);`),
    ].join("\n"),
    advance: each(4, (j) => `    b_at_${j} += 1;`),
  };
}

function tileCode(layout: Layout, height: number, lanes: number): string {
  const step = layout === "tn" ? RAGGED_STEP : 4;
  const a = layout === "tn" ? transposedA(height, lanes) : plainA(height, lanes);
  const b = { nn: plainB, nt: transposedB, tn: raggedB }[layout]();
  // Measured: which comes first decides how well the driver's compiler uses the registers.
  const loads = layout === "tn" ? [a.load, b.load] : [b.load, a.load];
  return `
@compute @workgroup_size(${lanes})
fn matmul_tile(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
  // Strides, offsets and columns in vectors of four. Lanes and rows beyond the edge repeat the last one, and do not store.
  let a_step = params.a_stride / 4;
  let b_step = params.b_stride / 4;
  let a_start = params.a_offset / 4;
  let b_start = params.b_offset / 4;
  let first_row = tile.y * ${height};
  let column = tile.x * ${lanes} + lane;
  let near_column = min(column, params.columns / 4 - 1);
${a.setup}
${b.setup}
  var start = vec4f();
  if (HAS_BIAS) { start = bias[near_column]; }
${each(height, (i) => `  var sum_${i} = start;`)}
  for (var k = 0u; k < params.depth; k += ${step}) {
    // All loads come before all sums, which the compiler of software Vulkan does not arrange by itself.
${loads.join("\n")}
${
    each(
      height,
      (i) => each(step, (q) => `    sum_${i} += subgroupBroadcast(${a.element(i, q)}) * b_${q};`),
    )
  }
${a.advance}
${b.advance}
  }
  // The sums move up four at a time: with this code once for every row, compiling takes seconds.
  for (var row = first_row; row < min(first_row + ${height}, params.rows); row += 4) {
${each(4, (i) => `    finish(row + ${i}, column, sum_${i});`)}
${each(height - 4, (i) => `    sum_${i} = sum_${i + 4};`)}
  }
}
`;
}
