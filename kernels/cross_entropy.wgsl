// losses = -sum(q log softmax(z)) and dlogits = weight * (softmax(z) - q), in place, one workgroup per row;
// q is 1 at the target or, with smoothing, a little less there and a little everywhere.

override SMOOTHING: f32 = 0.0; // share of q that is spread over all columns

struct Params { N: u32, V: u32, logits_stride: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> targets: array<u32>;        // (N)
@group(0) @binding(2) var<storage, read> weights: array<f32>;        // (N)
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;   // (N, V), then dlogits
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;   // (N)

@compute @workgroup_size(WORKGROUP_SIZE)
fn cross_entropy(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.logits_stride;

  let lse = log_sum_exp(row_mass(lane, start, params.V, 1.0));
  let target_id = targets[row];
  let weight = weights[row];
  var loss = 0.0;
  for (var v = lane; v < params.V; v += WORKGROUP_SIZE) {
    let z = logits[start + v];
    let q = (1.0 - SMOOTHING) * f32(v == target_id) + SMOOTHING / f32(params.V);
    if (q > 0.0) { loss += q * (lse - z); }
    let gradient = weight * (exp(z - lse) - q);
    logits[start + v] = select(gradient, 0.0, weight == 0.0); // a masked row is 0 even if it holds NaN
  }
  loss = workgroup_sum(lane, loss);
  if (lane == 0) { losses[row] = loss; }
}
