// Numbers in 16 bits, two in a word: the first in the lower half. One lane per word.

struct Params { size: u32 } // numbers
@group(0) @binding(0) var<uniform> params: Params;

// shrink
@group(0) @binding(1) var<storage, read> x: array<f32>;               // (size)
@group(0) @binding(2) var<storage, read_write> packed: array<u32>;    // (ceil(size / 2))

@compute @workgroup_size(WORKGROUP_SIZE)
fn shrink(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WORKGROUP_SIZE + lane;
  if (2 * i >= params.size) { return; }
  var word = half_bits(x[2 * i]);
  if (2 * i + 1 < params.size) { word |= half_bits(x[2 * i + 1]) << 16; }
  packed[i] = word;
}

// expand
@group(0) @binding(1) var<storage, read> halves: array<u32>;          // (ceil(size / 2))
@group(0) @binding(2) var<storage, read_write> out: array<f32>;       // (size)

@compute @workgroup_size(WORKGROUP_SIZE)
fn expand(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WORKGROUP_SIZE + lane;
  if (2 * i >= params.size) { return; }
  let pair = unpack2x16float(halves[i]);
  out[2 * i] = pair.x;
  if (2 * i + 1 < params.size) { out[2 * i + 1] = pair.y; }
}

// The nearest half, of two the even one; pack2x16float may take either. What is finite stays finite.
fn half_bits(number: f32) -> u32 {
  let bits = bitcast<u32>(number);
  let sign = (bits >> 16) & 0x8000;
  let size = bits & 0x7fffffff;
  if (size >= 0x7f800000) { return sign | select(0x7c00u, 0x7e00u, size > 0x7f800000); } // infinity, NaN
  if (size >= 0x477fe000) { return sign | 0x7bff; } // 65,504 and above
  // Below 2^-14 halves are multiples of 2^-24, as floats from a half to one are.
  if (size < 0x38800000) { return sign | (bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000); }
  return sign | ((size + 0xfff + ((size >> 13) & 1) - 0x38000000) >> 13);
}
