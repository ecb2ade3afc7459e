// Shared by the kernels that reduce over a row with one workgroup; appended after their own code.

override WORKGROUP_SIZE: u32 = 64; // a power of two

var<workgroup> partial: array<f32, WORKGROUP_SIZE>;

// Position of a workgroup in a grid that may have been folded to two dimensions.
fn group_index(group: vec3u, groups: vec3u) -> u32 {
  return group.x + group.y * groups.x;
}

// Sum of `value` over the workgroup, the same bits in every lane. Every lane must call it.
fn workgroup_sum(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var width = WORKGROUP_SIZE / 2; width > 0; width /= 2) {
    if (lane < width) { partial[lane] += partial[lane + width]; }
    workgroupBarrier();
  }
  let total = partial[0];
  workgroupBarrier();
  return total;
}

// Maximum of `value` over the workgroup. Every lane must call it.
fn workgroup_max(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var width = WORKGROUP_SIZE / 2; width > 0; width /= 2) {
    if (lane < width) { partial[lane] = max(partial[lane], partial[lane + width]); }
    workgroupBarrier();
  }
  let peak = partial[0];
  workgroupBarrier();
  return peak;
}

// Whether a number is NaN, by its bits, since a compiler may assume that there are none.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}
