// Large matrix products on GPUs: a workgroup computes a block of 128 x 128 elements from blocks of both operands in
// workgroup memory, 16 deep; each of its 256 invocations holds 8 x 8 elements in registers, so that sixteen numbers
// from workgroup memory make 64 multiply-adds. The sums are those of matmul.wgsl, bit for bit.
// Goes before matmul_vectors.wgsl.

override A_TRANSPOSED: bool = false;
override B_TRANSPOSED: bool = false;

// Vector [32 k + i]: rows 4 i to 4 i + 3 of A's block, or columns of B's, at k.
var<workgroup> a_block: array<vec4f, 512>;
var<workgroup> b_block: array<vec4f, 512>;

@compute @workgroup_size(256)
fn multiply(@builtin(workgroup_id) block: vec3u, @builtin(local_invocation_index) local: u32) {
  // Half of the invocations load A, the others B; a square of four by four each, neighbours in memory by neighbours.
  let is_a = local < 128;
  let is_along_depth = select(B_TRANSPOSED, !A_TRANSPOSED, is_a);
  let part = local % 128;
  let square = select(vec2u(part % 32, part / 32), vec2u(part / 4, part % 4), is_along_depth); // (line / 4, k / 4)

  // Rows 4 y to 4 y + 3 of the block, and those 64 further down; columns alike.
  let x = local % 16;
  let y = local / 16;
  let column = 32 * block.x + x; // in vectors of four
  var left = vec4f();
  var right = vec4f();
  if (HAS_BIAS) {
    left = bias[min(column, params.columns / 4 - 1)];
    right = bias[min(column + 16, params.columns / 4 - 1)];
  }
  var left_0 = left;
  var left_1 = left;
  var left_2 = left;
  var left_3 = left;
  var left_4 = left;
  var left_5 = left;
  var left_6 = left;
  var left_7 = left;
  var right_0 = right;
  var right_1 = right;
  var right_2 = right;
  var right_3 = right;
  var right_4 = right;
  var right_5 = right;
  var right_6 = right;
  var right_7 = right;
  for (var k = 0u; k < params.depth; k += 16) {
    let at = 128 * square.y + square.x;
    if (is_a) {
      let loaded = load_a(32 * block.y + square.x, k + 4 * square.y);
      a_block[at] = loaded[0];
      a_block[at + 32] = loaded[1];
      a_block[at + 64] = loaded[2];
      a_block[at + 96] = loaded[3];
    } else {
      let loaded = load_b(32 * block.x + square.x, k + 4 * square.y);
      b_block[at] = loaded[0];
      b_block[at + 32] = loaded[1];
      b_block[at + 64] = loaded[2];
      b_block[at + 96] = loaded[3];
    }
    workgroupBarrier();
    for (var i = 0u; i < 512; i += 32) {
      let top = a_block[i + y];
      let bottom = a_block[i + 16 + y];
      let b_left = b_block[i + x];
      let b_right = b_block[i + 16 + x];
      left_0 = fma(vec4f(top.x), b_left, left_0);
      left_1 = fma(vec4f(top.y), b_left, left_1);
      left_2 = fma(vec4f(top.z), b_left, left_2);
      left_3 = fma(vec4f(top.w), b_left, left_3);
      left_4 = fma(vec4f(bottom.x), b_left, left_4);
      left_5 = fma(vec4f(bottom.y), b_left, left_5);
      left_6 = fma(vec4f(bottom.z), b_left, left_6);
      left_7 = fma(vec4f(bottom.w), b_left, left_7);
      right_0 = fma(vec4f(top.x), b_right, right_0);
      right_1 = fma(vec4f(top.y), b_right, right_1);
      right_2 = fma(vec4f(top.z), b_right, right_2);
      right_3 = fma(vec4f(top.w), b_right, right_3);
      right_4 = fma(vec4f(bottom.x), b_right, right_4);
      right_5 = fma(vec4f(bottom.y), b_right, right_5);
      right_6 = fma(vec4f(bottom.z), b_right, right_6);
      right_7 = fma(vec4f(bottom.w), b_right, right_7);
    }
    workgroupBarrier();
  }
  let row = 128 * block.y + 4 * y;
  finish_pair(row, column, left_0, right_0);
  finish_pair(row + 1, column, left_1, right_1);
  finish_pair(row + 2, column, left_2, right_2);
  finish_pair(row + 3, column, left_3, right_3);
  finish_pair(row + 64, column, left_4, right_4);
  finish_pair(row + 65, column, left_5, right_5);
  finish_pair(row + 66, column, left_6, right_6);
  finish_pair(row + 67, column, left_7, right_7);
}

fn finish_pair(row: u32, column: u32, left: vec4f, right: vec4f) {
  finish(row, column, left);
  finish(row, column + 16, right);
}

// Rows 4 line to 4 line + 3 of A, a vector for each of four k: zeros beyond depth, repeats beyond the last row.
fn load_a(line: u32, k: u32) -> mat4x4f {
  let step = params.a_stride / 4;
  let start = params.a_offset / 4;
  if (A_TRANSPOSED) {
    let origin = start + min(line, params.rows / 4 - 1);
    return within(mat4x4f(
      a[origin + near(k) * step],
      a[origin + near(k + 1) * step],
      a[origin + near(k + 2) * step],
      a[origin + near(k + 3) * step],
    ), k);
  }
  let rows = min(4 * line + vec4u(0, 1, 2, 3), vec4u(params.rows - 1)) * step + start + near(k) / 4;
  return within(transpose(mat4x4f(a[rows.x], a[rows.y], a[rows.z], a[rows.w])), k);
}

// Columns 4 line to 4 line + 3 of B in the same way.
fn load_b(line: u32, k: u32) -> mat4x4f {
  let step = params.b_stride / 4;
  let near_line = min(line, params.columns / 4 - 1);
  let start = params.b_offset / 4;
  if (B_TRANSPOSED) {
    let origin = start + 4 * near_line * step + near(k) / 4;
    return within(transpose(mat4x4f(b[origin], b[origin + step], b[origin + 2 * step], b[origin + 3 * step])), k);
  }
  let origin = start + near_line;
  return within(mat4x4f(
    b[origin + near(k) * step],
    b[origin + near(k + 1) * step],
    b[origin + near(k + 2) * step],
    b[origin + near(k + 3) * step],
  ), k);
}

fn near(k: u32) -> u32 {
  return min(k, params.depth - 1);
}

fn within(square: mat4x4f, k: u32) -> mat4x4f {
  return mat4x4f(
    select(vec4f(), square[0], k < params.depth),
    select(vec4f(), square[1], k + 1 < params.depth),
    select(vec4f(), square[2], k + 2 < params.depth),
    select(vec4f(), square[3], k + 3 < params.depth),
  );
}
