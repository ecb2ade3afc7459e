// One AdamW step over a flat range, in rounds of four parameters per lane; nothing where the gradient was not finite.

override ROUNDS: u32 = 1; // of a workgroup

struct Params {
  count: u32, // vec4s
  beta1: f32,
  beta2: f32,
  one_minus_beta1: f32,
  one_minus_beta2: f32,
  epsilon: f32,
  weight_decay: f32,
}
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> grads: array<vec4f>;           // (count)
@group(0) @binding(2) var<storage, read> norm: array<f32>;              // (4) norm, clip coefficient, finite, 0
@group(0) @binding(3) var<storage, read> state: array<f32>;             // (4) steps, 1 - beta1^t, 1 - beta2^t, 0
@group(0) @binding(4) var<storage, read> learning_rate: array<f32>;     // (1)
@group(0) @binding(5) var<storage, read_write> values: array<vec4f>;    // (count) the parameters
@group(0) @binding(6) var<storage, read_write> m: array<vec4f>;         // (count)
@group(0) @binding(7) var<storage, read_write> v: array<vec4f>;         // (count)

@compute @workgroup_size(WORKGROUP_SIZE)
fn update(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  if (norm[2] == 0.0) { return; }
  let clip = norm[1];
  let correction = vec2f(state[1], state[2]);
  let rate = learning_rate[0];
  let first = group_index(group, groups) * WORKGROUP_SIZE * ROUNDS;
  let end = min(first + WORKGROUP_SIZE * ROUNDS, params.count);
  for (var i = first + lane; i < end; i += WORKGROUP_SIZE) {
    // All that is read comes first: what is written might be the same memory, as far as a compiler knows.
    let gradient = clip * grads[i];
    let value = values[i];
    let mean = params.beta1 * m[i] + params.one_minus_beta1 * gradient;
    let square = params.beta2 * v[i] + params.one_minus_beta2 * gradient * gradient;
    let direction = mean / correction.x / (sqrt(square / correction.y) + params.epsilon);
    m[i] = mean;
    v[i] = square;
    values[i] = value - rate * (params.weight_decay * value + direction);
  }
}
