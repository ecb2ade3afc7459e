// KL estimate of every token from its log-probability under policy and reference.

struct Params { N: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> logprobs: array<f32>;     // (N)
@group(0) @binding(2) var<storage, read> ref_logprobs: array<f32>; // (N)
@group(0) @binding(3) var<storage, read_write> kl: array<f32>;     // (N)

@compute @workgroup_size(64)
fn estimate(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let n = id.x + id.y * groups.x * 64;
  if (n >= params.N) { return; }
  kl[n] = kl_estimate(logprobs[n] - ref_logprobs[n]);
}
