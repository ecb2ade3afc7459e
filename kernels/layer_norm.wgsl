// out = (x - mean) * rstd * weight + bias, and its gradient to x, one workgroup per row. C counts elements, WIDTH columns each.

struct Params { N: u32, C: u32 }
@group(0) @binding(0) var<uniform> params: Params;

override EPSILON: f32 = 1e-5;

// forward
@group(0) @binding(1) var<storage, read> x: array<Element>;               // (N, C)
@group(0) @binding(2) var<storage, read> weight: array<Element>;          // (C)
@group(0) @binding(3) var<storage, read> bias: array<Element>;            // (C)
@group(0) @binding(4) var<storage, read_write> out: array<Element>;       // (N, C)
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;          // (N)
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;          // (N)

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.C;
  let columns = f32(params.C * WIDTH);

  var sum = Element(0.0);
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) { sum += x[start + c]; }
  let center = workgroup_sum(lane, total(sum)) / columns;

  // The variance of centred numbers: E[x^2] - E[x]^2 would cancel where the mean is large.
  var squares = Element(0.0);
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    let centred = x[start + c] - center;
    squares += centred * centred;
  }
  let scale = inverseSqrt(workgroup_sum(lane, total(squares)) / columns + EPSILON);

  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    out[start + c] = (x[start + c] - center) * scale * weight[c] + bias[c];
  }
  if (lane == 0) {
    mean[row] = center;
    rstd[row] = scale;
  }
}

// backward
@group(0) @binding(3) var<storage, read> saved_mean: array<f32>;          // (N)
@group(0) @binding(4) var<storage, read> saved_rstd: array<f32>;          // (N)
@group(0) @binding(5) var<storage, read> dout: array<Element>;            // (N, C)
@group(0) @binding(6) var<storage, read_write> dx: array<Element>;        // (N, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.C;
  let columns = f32(params.C * WIDTH);
  let center = saved_mean[row];
  let scale = saved_rstd[row];

  var sum = Element(0.0); // of dxhat
  var projection = Element(0.0); // of dxhat on xhat
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    let dxhat = dout[start + c] * weight[c];
    sum += dxhat;
    projection += dxhat * (x[start + c] - center) * scale;
  }
  let mean_dxhat = workgroup_sum(lane, total(sum)) / columns;
  let mean_projection = workgroup_sum(lane, total(projection)) / columns;

  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    let dxhat = dout[start + c] * weight[c];
    let xhat = (x[start + c] - center) * scale;
    dx[start + c] += (dxhat - mean_dxhat - xhat * mean_projection) * scale;
  }
}
