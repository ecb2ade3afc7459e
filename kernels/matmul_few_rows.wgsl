// Products with one or two rows, where reading B is all the work: a workgroup is one subgroup of eight lanes,
// and holds four columns of both rows in each. The sums are those of the register tiles, bit for bit.
// Goes before matmul_vectors.wgsl.

override B_TRANSPOSED: bool = false;

@compute @workgroup_size(8)
fn multiply(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * 8 + lane;
  let near_column = min(column, params.columns / 4 - 1);
  let b_step = params.b_stride / 4;
  var b_at = params.b_offset / 4 + near_column * select(1u, 4 * b_step, B_TRANSPOSED);
  let b_advance = select(4 * b_step, 1u, B_TRANSPOSED); // four along depth

  // Lane l loads four elements of A, of row l / 4: 16 of each row among them. A loop goes through these, since on software
  // Vulkan a load is long code, and sixteen of them would not fit the processor's cache.
  var a_at = params.a_offset / 4 + min(lane / 4, params.rows - 1) * (params.a_stride / 4) + lane % 4;
  var sum_0 = vec4f();
  if (HAS_BIAS) { sum_0 = bias[near_column]; }
  var sum_1 = sum_0;
  for (var k = 0u; k < params.depth; k += 16) {
    let a_part = a[a_at];
    for (var i = 0u; i < 4; i++) {
      let b_part = load_b(b_at, b_step);
      sum_0 = add_product(sum_0, subgroupShuffle(a_part, i), b_part);
      sum_1 = add_product(sum_1, subgroupShuffle(a_part, 4 + i), b_part);
      b_at += b_advance;
    }
    a_at += 4;
  }
  finish(0, column, sum_0);
  finish(1, column, sum_1);
}

// Four columns of B at each of four k, a vector for each k.
fn load_b(at: u32, step: u32) -> mat4x4f {
  let part = mat4x4f(b[at], b[at + step], b[at + 2 * step], b[at + 3 * step]);
  if (B_TRANSPOSED) { return transpose(part); }
  return part;
}

fn add_product(sum: vec4f, a: vec4f, b: mat4x4f) -> vec4f {
  return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}
