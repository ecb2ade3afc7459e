// Exact KL(policy || reference) over the vocabulary, one workgroup per row.

struct Params { N: u32, V: u32, logits_stride: u32, ref_logits_stride: u32, temperature: f32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> logits: array<f32>;     // (N, V)
@group(0) @binding(2) var<storage, read> ref_logits: array<f32>; // (N, V)
@group(0) @binding(3) var<storage, read> lse: array<f32>;        // (N)
@group(0) @binding(4) var<storage, read> ref_lse: array<f32>;    // (N)
@group(0) @binding(5) var<storage, read_write> kl: array<f32>;   // (N)

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.logits_stride;
  let ref_start = row * params.ref_logits_stride;
  let row_lse = lse[row];
  let row_ref_lse = ref_lse[row];

  // sum p d = sum (p d + q - p) = sum p (exp(-d) - 1 + d), since p and q both sum to 1. No term of it is negative,
  // and the rounding of the two log-sum-exps moves it only to the second order.
  var total = 0.0;
  for (var v = lane; v < params.V; v += WORKGROUP_SIZE) {
    let logprob = logits[start + v] / params.temperature - row_lse;
    let ref_logprob = ref_logits[ref_start + v] / params.temperature - row_ref_lse;
    let d = logprob - ref_logprob;
    let p = exp(logprob);
    total += select(p * (d - 1.0) + exp(ref_logprob), p * excess_series(d), abs(d) < SERIES);
  }
  total = workgroup_sum(lane, total);
  if (lane == 0) { kl[row] = total; }
}
