// PPO's clipped loss with entropy bonus and KL term: the gradient of every token, and the sums of the statistics.
// One workgroup for all tokens, in a fixed order: they are few, and so the sums are always the same bits.

struct Params { N: u32, clip_range: f32, entropy_coef: f32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> logprobs: array<f32>;                // (N) of the policy now
@group(0) @binding(2) var<storage, read> entropy: array<f32>;                 // (N)
@group(0) @binding(3) var<storage, read> kl: array<f32>;                      // (N) exact KL
@group(0) @binding(4) var<storage, read> tokens: array<Token>;                // (N)
@group(0) @binding(5) var<storage, read> coefficients: array<f32>;            // (4) beta first
@group(0) @binding(6) var<storage, read_write> token_gradients: array<vec4f>; // (N) d loss / d logprob, entropy, exact KL; 0
@group(0) @binding(7) var<storage, read_write> stats: array<f32>;             // (16)

// What is known of a token since it was sampled.
struct Token {
  old_logprob: f32, // of the policy that sampled
  ref_logprob: f32,
  advantage: f32,
  weight: f32,      // 1 / tokens, 0 at padding
}

override KL_SOURCE: u32 = 0; // 0 no KL term, 1 the exact KL, 2 the estimate KL_TERM

// A larger log-ratio is cut, since exp(89) overflows; the statistics of the log-ratio itself are not.
const LOG_RATIO_LIMIT = 20.0;

const SUMS = 8u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn ppo_loss(@builtin(local_invocation_index) lane: u32) {
  var sums = array<f32, SUMS>();
  var ratio_max = 0.0;
  var log_ratio_max = 0.0;
  var total = 0.0;
  let beta = coefficients[0];

  for (var n = lane; n < params.N; n += WORKGROUP_SIZE) {
    let token = tokens[n];
    let weight = token.weight;
    if (weight == 0.0) {
      token_gradients[n] = vec4f();
      continue;
    }
    let log_ratio = logprobs[n] - token.old_logprob;
    let ratio = exp(bounded(log_ratio));
    let advantage = token.advantage;
    let clipped_ratio = min(max(ratio, 1.0 - params.clip_range), 1.0 + params.clip_range);
    let plain = -advantage * ratio;
    let clipped = -advantage * clipped_ratio;
    // Where the clipped term is the larger, its gradient is 0. Said without comparing the terms, since a compiler
    // may take select(a, b, b > a) for max(a, b), which may lose a NaN.
    let above = ratio > 1.0 + params.clip_range;
    let below = ratio < 1.0 - params.clip_range;
    let clips = (advantage > 0.0 && above) || (advantage < 0.0 && below);
    let loss = select(plain, clipped, clips);
    var dlogprob = select(plain, 0.0, clips);
    var kl_term = 0.0;
    if (KL_SOURCE == 1) { kl_term = kl[n]; }
    if (KL_SOURCE == 2) {
      let d = logprobs[n] - token.ref_logprob;
      kl_term = kl_estimate(d);
      dlogprob += select(beta * kl_estimate_slope(d), d, is_nan(d)); // the slope of k1 and abs hides it
    }
    let dkl = select(0.0, weight * beta, KL_SOURCE == 1);
    token_gradients[n] = vec4f(weight * dlogprob, -weight * params.entropy_coef, dkl, 0.0);

    sums[0] += weight * loss;
    sums[1] += weight * entropy[n];
    sums[2] += weight * kl_term;
    sums[3] += weight * select(0.0, 1.0, clips);
    sums[4] += weight * 0.5 * log_ratio * log_ratio;
    sums[5] -= weight * log_ratio;
    sums[6] += weight * ratio;
    sums[7] += weight * ratio * ratio;
    total += weight;
    ratio_max = max(ratio_max, ratio);
    log_ratio_max = max(log_ratio_max, abs(log_ratio));
  }

  for (var i = 0u; i < SUMS; i++) {
    let sum = workgroup_sum(lane, sums[i]);
    if (lane == 0) { stats[i] += sum; }
  }
  let weight = workgroup_sum(lane, total);
  let highest_ratio = workgroup_max(lane, ratio_max);
  let highest_log_ratio = workgroup_max(lane, log_ratio_max);
  if (lane == 0) {
    stats[8] += weight;
    stats[9] = max(stats[9], highest_ratio);
    stats[10] = max(stats[10], highest_log_ratio);
  }
}

// Between the limits; a NaN stays one, where min and max may lose it.
fn bounded(log_ratio: f32) -> f32 {
  return select(clamp(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT), log_ratio, is_nan(log_ratio));
}
