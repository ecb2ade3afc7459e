// out[n] = source[index[n]] and out[index[n]] = source[n], one workgroup per row. C counts elements,
// as does source_stride, from a row of the source to the next.

struct Params { N: u32, C: u32, source_stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> source: array<Element>;      // gather: (M, C), scatter: (N, C)
@group(0) @binding(2) var<storage, read> index: array<u32>;           // (N)
@group(0) @binding(3) var<storage, read_write> out: array<Element>;   // gather: (N, C), scatter: (M, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn gather(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = index[row] * params.source_stride;
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) { out[row * params.C + c] = source[start + c]; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn scatter(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = index[row] * params.C;
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) { out[start + c] = source[row * params.source_stride + c]; }
}
