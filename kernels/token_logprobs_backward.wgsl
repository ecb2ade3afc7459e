// dlogits of the target's log-probability, the entropy and the exact KL to a reference, in place of the logits;
// one workgroup per row. With p and q the softmaxes of policy and reference, y the target:
//   dlogits = (dlogprob (1[v = y] - p) - dentropy p (log p + H) + dkl p (log p - log q - KL)) / temperature

struct Params { N: u32, V: u32, logits_stride: u32, ref_logits_stride: u32, temperature: f32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> targets: array<u32>;           // (N)
@group(0) @binding(2) var<storage, read> lse: array<f32>;               // (N)
@group(0) @binding(3) var<storage, read> entropy: array<f32>;           // (N)
@group(0) @binding(4) var<storage, read> token_gradients: array<vec4f>; // (N) d loss / d logprob, entropy, exact KL
@group(0) @binding(5) var<storage, read> ref_logits: array<f32>;        // (N, V)
@group(0) @binding(6) var<storage, read> ref_lse: array<f32>;           // (N)
@group(0) @binding(7) var<storage, read> kl: array<f32>;                // (N)
@group(0) @binding(8) var<storage, read_write> logits: array<f32>;      // (N, V), then dlogits

override WITH_KL: bool = false; // whether bindings 5 to 7 are there

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.logits_stride;
  let ref_start = row * params.ref_logits_stride;

  let target_id = targets[row];
  let row_lse = lse[row];
  let row_entropy = entropy[row];
  let dlogprob = token_gradients[row].x;
  let dh = token_gradients[row].y;
  var row_ref_lse = 0.0;
  var row_kl = 0.0;
  var dk = 0.0;
  if (WITH_KL) {
    row_ref_lse = ref_lse[row];
    row_kl = kl[row];
    dk = token_gradients[row].z;
  }
  if (dlogprob == 0.0 && dh == 0.0 && dk == 0.0) { // a masked row is 0 even if it holds NaN
    for (var v = lane; v < params.V; v += WORKGROUP_SIZE) { logits[start + v] = 0.0; }
    return;
  }

  for (var v = lane; v < params.V; v += WORKGROUP_SIZE) {
    let logprob = logits[start + v] / params.temperature - row_lse;
    let p = exp(logprob);
    var dz = dlogprob * (f32(v == target_id) - p) - dh * p * (logprob + row_entropy);
    if (WITH_KL) {
      let ref_logprob = ref_logits[ref_start + v] / params.temperature - row_ref_lse;
      dz += dk * p * (logprob - ref_logprob - row_kl);
    }
    logits[start + v] = dz / params.temperature;
  }
}
