// Counts an optimizer step and moves its bias corrections, unless the gradient was not finite. One invocation.

struct Params { beta1: f32, beta2: f32, one_minus_beta1: f32, one_minus_beta2: f32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> norm: array<f32>;           // (4) of global_norm
@group(0) @binding(2) var<storage, read_write> state: array<f32>;    // (4) steps, 1 - beta1^t, 1 - beta2^t, 0

@compute @workgroup_size(1)
fn advance() {
  if (norm[2] == 0.0) { return; }
  state[0] += 1.0;
  // The recurrence of the moments, so that what f32 makes of the betas cancels when they are divided by this.
  state[1] = state[1] * params.beta1 + params.one_minus_beta1;
  state[2] = state[2] * params.beta2 + params.one_minus_beta2;
}
