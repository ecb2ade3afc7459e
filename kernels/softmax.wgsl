// out = softmax(x) and its gradient, one workgroup per row. C counts elements.

struct Params { N: u32, C: u32 }
@group(0) @binding(0) var<uniform> params: Params;

// forward
@group(0) @binding(1) var<storage, read> x: array<Element>;             // (N, C)
@group(0) @binding(2) var<storage, read_write> out: array<Element>;     // (N, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.C;

  var peak = -3.4e38;
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) { peak = max(peak, largest(x[start + c])); }
  peak = workgroup_max(lane, peak);
  var mass = Element(0.0);
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) { mass += exp(x[start + c] - peak); }
  let norm = 1.0 / workgroup_sum(lane, total(mass));
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    out[start + c] = exp(x[start + c] - peak) * norm;
  }
}

// backward
@group(0) @binding(1) var<storage, read> saved_out: array<Element>;     // (N, C)
@group(0) @binding(2) var<storage, read> dout: array<Element>;          // (N, C)
@group(0) @binding(3) var<storage, read_write> dx: array<Element>;      // (N, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.C;

  var sum = Element(0.0);
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) { sum += saved_out[start + c] * dout[start + c]; }
  let mean = workgroup_sum(lane, total(sum)); // of dout under the probabilities
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    dx[start + c] = saved_out[start + c] * (dout[start + c] - mean);
  }
}
