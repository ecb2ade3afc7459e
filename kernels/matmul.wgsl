// Matrix product of any size, tiled in workgroup memory. A workgroup computes a square tile of the product:
// its SIDE x SIDE invocations hold 4 x 4 elements each, and step through depth SIDE at a time. Products are added by
// fma() in order of depth, so that compilers have no choice which would change bits.

struct Params {
  rows: u32, // the product is (rows, columns), a sum over depth
  columns: u32,
  depth: u32,
  a_stride: u32, // elements from row to row
  b_stride: u32,
  out_stride: u32,
  a_offset: u32, // elements before the first
  b_offset: u32,
  out_offset: u32,
  scale: f32, // of the product; 1 where a bias is added
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>; // (rows, depth), or (depth, rows) if A_TRANSPOSED
@group(0) @binding(2) var<storage, read> b: array<f32>; // (depth, columns), or (columns, depth) if B_TRANSPOSED
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (columns)
@group(0) @binding(4) var<storage, read> residual: array<f32>; // (rows, columns)
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // (rows, columns)
@group(0) @binding(6) var<storage, read_write> preactivation: array<f32>; // (rows, columns)

override SIDE: u32 = 16;
override A_TRANSPOSED: bool = false;
override B_TRANSPOSED: bool = false;
override HAS_BIAS: bool = false;
override HAS_RESIDUAL: bool = false;
override HAS_PREACTIVATION: bool = false;
override ACTIVATION: u32 = 0; // 1 gelu_new, 2 gelu_exact
override ACCUMULATE: bool = false;

// Element (k, 4 i + component) of a tile of A, its columns being rows of the product, and of B.
// One vector of padding to a row keeps invocations that write a column out of each other's memory bank.
var<workgroup> a_tile: array<vec4f, SIDE * (SIDE + 1)>;
var<workgroup> b_tile: array<vec4f, SIDE * (SIDE + 1)>;

@compute @workgroup_size(SIDE, SIDE)
fn matmul(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_id) local: vec3u) {
  // Invocations that follow each other load elements that follow each other in memory, as far as they can.
  let a_local = select(local.xy, local.yx, A_TRANSPOSED); // (k, row / 4) in the tile
  let b_local = select(local.yx, local.xy, B_TRANSPOSED); // (k, column / 4)
  let a_row = 4 * (tile.y * SIDE + a_local.y);
  let b_column = 4 * (tile.x * SIDE + b_local.y);

  let row = 4 * (tile.y * SIDE + local.y);
  let column = 4 * (tile.x * SIDE + local.x);
  var sum_0 = vec4f();
  if (HAS_BIAS) {
    let columns = min(vec4u(column, column + 1, column + 2, column + 3), vec4u(params.columns - 1));
    sum_0 = vec4f(bias[columns.x], bias[columns.y], bias[columns.z], bias[columns.w]);
  }
  var sum_1 = sum_0;
  var sum_2 = sum_0;
  var sum_3 = sum_0;
  for (var k = 0u; k < params.depth; k += SIDE) {
    a_tile[a_local.x * (SIDE + 1) + a_local.y] = load_a(a_row, k + a_local.x);
    b_tile[b_local.x * (SIDE + 1) + b_local.y] = load_b(k + b_local.x, b_column);
    workgroupBarrier();
    for (var i = 0u; i < SIDE; i++) {
      let a_part = a_tile[i * (SIDE + 1) + local.y];
      let b_part = b_tile[i * (SIDE + 1) + local.x];
      sum_0 = fma(vec4f(a_part.x), b_part, sum_0);
      sum_1 = fma(vec4f(a_part.y), b_part, sum_1);
      sum_2 = fma(vec4f(a_part.z), b_part, sum_2);
      sum_3 = fma(vec4f(a_part.w), b_part, sum_3);
    }
    workgroupBarrier();
  }

  finish_row(row, column, sum_0);
  finish_row(row + 1, column, sum_1);
  finish_row(row + 2, column, sum_2);
  finish_row(row + 3, column, sum_3);
}

// A's elements at k in four rows of the product; zero beyond the edges.
fn load_a(row: u32, k: u32) -> vec4f {
  if (k >= params.depth || row >= params.rows) { return vec4f(); }
  let rows = min(vec4u(row, row + 1, row + 2, row + 3), vec4u(params.rows - 1)); // repeats are never stored
  let at = params.a_offset +
    select(rows * params.a_stride + k, k * params.a_stride + rows, vec4<bool>(A_TRANSPOSED));
  return vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
}

// B's elements at k in four columns; zero beyond the edges.
fn load_b(k: u32, column: u32) -> vec4f {
  if (k >= params.depth || column >= params.columns) { return vec4f(); }
  let columns = min(vec4u(column, column + 1, column + 2, column + 3), vec4u(params.columns - 1));
  let at = params.b_offset +
    select(k * params.b_stride + columns, columns * params.b_stride + k, vec4<bool>(B_TRANSPOSED));
  return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn finish_row(row: u32, column: u32, sum: vec4f) {
  if (row >= params.rows) { return; }
  for (var i = 0u; i < min(4, params.columns - min(column, params.columns)); i++) {
    finish(row, column + i, sum[i]);
  }
}

fn finish(row: u32, column: u32, sum: f32) {
  let at = row * params.columns + column;
  let out_at = params.out_offset + row * params.out_stride + column;
  var value = params.scale * sum; // a scale other than 1 goes without a bias, which is in the sum
  if (HAS_PREACTIVATION) { preactivation[at] = value; }
  if (ACTIVATION == 1) { value = gelu_new(value); } else if (ACTIVATION == 2) { value = gelu_exact(value); }
  if (HAS_RESIDUAL) { value += residual[at]; }
  if (ACCUMULATE) { value += out[out_at]; }
  out[out_at] = value;
}
