// losses = -log sigmoid(chosen - rejected) + centring * (chosen + rejected)^2 and its gradient, one lane per pair.

override WORKGROUP_SIZE: u32 = 64;
override CENTRING: f32 = 0.0;

struct Params { P: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> scores: array<f32>;          // (2, P) chosen, then rejected
@group(0) @binding(2) var<storage, read> weights: array<f32>;         // (P)
@group(0) @binding(3) var<storage, read_write> dscores: array<f32>;   // (2, P)
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;    // (P)

@compute @workgroup_size(WORKGROUP_SIZE)
fn pair_loss(@builtin(global_invocation_id) id: vec3u) {
  let pair = id.x;
  if (pair >= params.P) { return; }
  let chosen = scores[pair];
  let rejected = scores[params.P + pair];
  let weight = weights[pair];

  // Only the exponential of a number below 0 is taken: nothing overflows, whatever the margin.
  let margin = chosen - rejected;
  let small = exp(-abs(margin));
  let sum = chosen + rejected;
  losses[pair] = max(-margin, 0.0) + log(1.0 + small) + CENTRING * sum * sum;

  let wrong = select(1.0, small, margin > 0.0) / (1.0 + small); // sigmoid(-margin)
  let centring = 2.0 * CENTRING * sum;
  let masked = weight == 0.0; // a masked pair is 0 even if it holds NaN
  dscores[pair] = select(weight * (centring - wrong), 0.0, masked);
  dscores[params.P + pair] = select(weight * (centring + wrong), 0.0, masked);
}
