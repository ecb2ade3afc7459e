// cache[b, position + q] = keys and values of qkv[b, q]; a workgroup copies one row.

struct Params { N: u32, Q: u32, columns: u32, C: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Element>;            // (B, Q, 3C), N = B * Q
@group(0) @binding(2) var<storage, read> position: array<u32>;           // (1)
@group(0) @binding(3) var<storage, read_write> cache: array<Element>;    // (B, columns, 2C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn store(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  let column = position[0] + row % params.Q;
  if (row >= params.N || column >= params.columns) { return; }
  let start = (3 * row + 1) * params.C;
  let to = (row / params.Q * params.columns + column) * 2 * params.C;
  for (var i = lane; i < 2 * params.C; i += WORKGROUP_SIZE) { cache[to + i] = qkv[start + i]; }
}
