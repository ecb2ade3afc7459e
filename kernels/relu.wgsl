// x = max(x, 0) and dout *= [out > 0], in place, one lane per element.

struct Params { size: u32 }
@group(0) @binding(0) var<uniform> params: Params;

// forward
@group(0) @binding(1) var<storage, read_write> x: array<f32>;       // (size)

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WORKGROUP_SIZE + lane;
  if (i >= params.size) { return; }
  if (x[i] < 0.0) { x[i] = 0.0; } // max(x, 0) may turn NaN, which must stay to be seen, into 0
}

// backward
@group(0) @binding(1) var<storage, read> saved_out: array<f32>;     // (size)
@group(0) @binding(2) var<storage, read_write> dout: array<f32>;    // (size)

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WORKGROUP_SIZE + lane;
  if (i >= params.size) { return; }
  if (saved_out[i] <= 0.0) { dout[i] = 0.0; }
}
