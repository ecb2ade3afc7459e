// Products with one or two rows, where reading B is all the work: a workgroup is one subgroup of eight lanes, and
// holds 16 columns of both rows in each. Those are a line of the processor's cache, so that a load waits for eight of
// them at once. The sums are those of the register tiles, bit for bit. Goes before matmul_vectors.wgsl.

@compute @workgroup_size(8)
fn multiply(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let b_step = params.b_stride / 4;
  let last_column = params.columns / 4 - 1;
  let column = 4 * (group.x * 8 + lane); // the first of four vectors; those beyond the edge repeat the last one
  let columns = min(vec4u(column, column + 1, column + 2, column + 3), vec4u(last_column));
  var b_at = params.b_offset / 4 + columns;

  // Lane l loads four elements of A, of row l / 4: 16 of each row among them.
  var a_at = params.a_offset / 4 + min(lane / 4, params.rows - 1) * (params.a_stride / 4) + lane % 4;
  var sums_0 = mat4x4f();
  if (HAS_BIAS) { sums_0 = mat4x4f(bias[columns.x], bias[columns.y], bias[columns.z], bias[columns.w]); }
  var sums_1 = sums_0;
  for (var k = 0u; k < params.depth; k += 16) {
    let a_part = a[a_at];
    a_at += 4;
    // Loops, since on software Vulkan a load is long code, and 64 of them would not fit the processor's cache.
    for (var i = 0u; i < 4; i++) {
      var a_0 = subgroupShuffle(a_part, i);
      var a_1 = subgroupShuffle(a_part, 4 + i);
      for (var q = 0u; q < 4; q++) {
        let part = mat4x4f(b[b_at.x], b[b_at.y], b[b_at.z], b[b_at.w]);
        sums_0 += a_0.x * part;
        sums_1 += a_1.x * part;
        a_0 = a_0.yzwx;
        a_1 = a_1.yzwx;
        b_at += b_step;
      }
    }
  }
  for (var i = 0u; i < 4; i++) {
    finish(0, column + i, sums_0[i]);
    finish(1, column + i, sums_1[i]);
  }
}
