// The clipped value loss: the gradient of every token, and the sums of the statistics. One workgroup for all.

struct Params { N: u32, clip_range: f32, value_coef: f32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> values: array<f32>;            // (N) of the value head now
@group(0) @binding(2) var<storage, read> old_values: array<f32>;        // (N) when sampling
@group(0) @binding(3) var<storage, read> returns: array<f32>;           // (N)
@group(0) @binding(4) var<storage, read> weights: array<f32>;           // (N) 1 / tokens, 0 at padding
@group(0) @binding(5) var<storage, read_write> dvalues: array<f32>;     // (N)
@group(0) @binding(6) var<storage, read_write> stats: array<f32>;       // (8)

const SUMS = 6u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn value_loss(@builtin(local_invocation_index) lane: u32) {
  var sums = array<f32, SUMS>();
  for (var n = lane; n < params.N; n += WORKGROUP_SIZE) {
    let weight = weights[n];
    if (weight == 0.0) {
      dvalues[n] = 0.0;
      continue;
    }
    let value = values[n];
    // Exactly `value` within the range: else a rounding would count as clipped and lose the gradient.
    let clipped = clamp(value, old_values[n] - params.clip_range, old_values[n] + params.clip_range);
    let error = select(value, old_values[n], is_nan(old_values[n])) - returns[n]; // clamp may hide a NaN
    let clipped_error = clipped - returns[n];
    // A compiler may assume that there is no NaN, and then turn the comparison round, or take what follows for max().
    let clips = !is_nan(value) && !is_nan(old_values[n]) && !is_nan(returns[n]) &&
      clipped_error * clipped_error > error * error;

    // Where the clipped error is the larger, the clipped value is a constant and the gradient is 0.
    dvalues[n] = params.value_coef * weight * select(error, 0.0, clips);
    let loss = 0.5 * select(error * error, clipped_error * clipped_error, clips);
    sums[0] += weight * loss;
    sums[1] += weight * select(0.0, 1.0, clips);
    sums[2] += weight * error * error;
    sums[3] += weight * value;
    sums[4] += weight * value * value;
    sums[5] += weight;
  }
  for (var i = 0u; i < SUMS; i++) {
    let sum = workgroup_sum(lane, sums[i]);
    if (lane == 0) { stats[i] += sum; }
  }
}
