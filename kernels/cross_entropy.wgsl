// losses = logsumexp(z) - z[target] and dlogits = weight * (softmax(z) - onehot), in place, one workgroup per row.

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
  for (var v = lane; v < params.V; v += WORKGROUP_SIZE) {
    let z = logits[start + v];
    // The lane that overwrites the target's logit is the one that reads it.
    if (v == target_id) { losses[row] = lse - z; }
    let gradient = weight * (exp(z - lse) - f32(v == target_id));
    logits[start + v] = select(gradient, 0.0, weight == 0.0); // a masked row is 0 even if it holds NaN
  }
}
