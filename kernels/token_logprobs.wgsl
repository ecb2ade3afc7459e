// Log-probability of each row's target, log-sum-exp and entropy of softmax(logits / temperature); one
// workgroup per row.

struct Params { N: u32, V: u32, logits_stride: u32, temperature: f32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> logits: array<f32>;         // (N, V)
@group(0) @binding(2) var<storage, read> targets: array<u32>;        // (N)
@group(0) @binding(3) var<storage, read_write> logprobs: array<f32>; // (N)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;      // (N)
@group(0) @binding(5) var<storage, read_write> entropy: array<f32>;  // (N)

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.logits_stride;

  let mass = row_mass(lane, start, params.V, params.temperature);
  if (lane == 0) {
    let row_lse = log_sum_exp(mass);
    logprobs[row] = logits[start + targets[row]] / params.temperature - row_lse;
    lse[row] = row_lse;
    // lse - sum p z, both shifted by the peak: large logits cost no digits.
    entropy[row] = log(mass.total) - mass.moment / mass.total;
  }
}
