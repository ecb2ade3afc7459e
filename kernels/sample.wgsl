// One token for each row, from softmax(logits / temperature) or what top-k and top-p leave of it; one workgroup
// per row. The draw is exact: argmax(z + g) with Gumbel noise g is distributed as softmax(z).

struct Params {
  N: u32,
  V: u32,
  logits_stride: u32,
  stop_count: u32,
  temperature: f32,
  top_k: u32,          // 0: off
  top_p: f32,          // 1: off
  greedy: u32,
  min_new_tokens: u32,
}
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> logits: array<f32>;         // (N, V)
@group(0) @binding(2) var<storage, read> rows: array<u32>;           // (N)
@group(0) @binding(3) var<storage, read> state: array<u32>;          // (4) see decode_state.ts
@group(0) @binding(4) var<storage, read> stop_ids: array<u32>;       // (S)
@group(0) @binding(5) var<storage, read_write> next: array<u32>;     // (N)
@group(0) @binding(6) var<storage, read_write> logprobs: array<f32>; // (N)

const GENERATED = 1u;
const SEED = 2u;
const STEP = 3u;
const NOTHING = -3.0e38;

@compute @workgroup_size(WORKGROUP_SIZE)
fn sample(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let start = row * params.logits_stride;

  let all = row_mass(lane, start, params.V, params.temperature);

  let here = Row(start, all.peak, state[GENERATED] < params.min_new_tokens);

  var threshold = 0u;
  if (params.greedy == 0 && params.top_k > 0) {
    threshold = highest_threshold(lane, here, f32(params.top_k), true);
  }
  if (params.greedy == 0 && params.top_p < 1.0) {
    let enough = params.top_p * weight_above(lane, here, threshold, false);
    threshold = highest_threshold(lane, here, enough, false);
  }

  let key = pcg4d(vec4u(state[SEED], state[STEP], rows[row], state[GENERATED]));
  var best = NOTHING;
  var best_id = 0u;
  for (var v = lane; v < params.V; v += WORKGROUP_SIZE) {
    let z = logits[start + v] / params.temperature;
    if (rank(z) < threshold || excluded(here, v)) { continue; }
    var score = z - here.peak; // small where it matters, so that the noise keeps its digits
    if (params.greedy == 0) { score += gumbel(pcg4d(vec4u(key.xyz, v)).x); }
    if (score > best) {
      best = score;
      best_id = v;
    }
  }
  let winning = workgroup_max(lane, best);
  let lowest = -workgroup_max(lane, select(NOTHING, -f32(best_id), best == winning)); // of equals
  let id = select(0u, u32(lowest), lowest < -NOTHING); // where a compiler made NaN the best, no lane has it

  if (lane == 0) {
    next[row] = id;
    logprobs[row] = logits[start + id] / params.temperature - log_sum_exp(all);
  }
}

struct Row {
  start: u32,      // of its logits
  peak: f32,       // the largest, divided by the temperature
  excluding: bool, // whether it is too early to stop
}

fn excluded(row: Row, v: u32) -> bool {
  if (!row.excluding) { return false; }
  for (var s = 0u; s < params.stop_count; s++) {
    if (stop_ids[s] == v) { return true; }
  }
  return false;
}

// An integer that orders as the number does.
fn rank(z: f32) -> u32 {
  let bits = bitcast<u32>(z);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// Weight of the tokens of at least this rank: their number, or their probability times a constant.
// Every lane must call it.
fn weight_above(lane: u32, row: Row, threshold: u32, counting: bool) -> f32 {
  var weight = 0.0;
  for (var v = lane; v < params.V; v += WORKGROUP_SIZE) {
    let z = logits[row.start + v] / params.temperature;
    if (rank(z) < threshold || excluded(row, v)) { continue; }
    weight += select(exp(z - row.peak), 1.0, counting);
  }
  return workgroup_sum(lane, weight);
}

// The highest rank that leaves `enough` weight and at least one token, found bit by bit.
// Every lane must call it.
fn highest_threshold(lane: u32, row: Row, enough: f32, counting: bool) -> u32 {
  var threshold = 0u;
  for (var bit = 0x80000000u; bit > 0; bit >>= 1) {
    let weight = weight_above(lane, row, threshold | bit, counting);
    if (weight > 0.0 && weight >= enough) { threshold |= bit; }
  }
  return threshold;
}

// Four hashes of four numbers. Source: Jarzynski & Olano 2020 (jcgt.org/published/0009/03/02), listing 14.
fn pcg4d(numbers: vec4u) -> vec4u {
  var v = numbers * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}

// -log(-log(1 - u)) for u uniform in (0, 1). Its upper tail is where u is small, and there -log(1 - u) is the
// series: 1 - u would round away the digits of u, and the likeliest of 50,000 tokens lives in that tail.
fn gumbel(bits: u32) -> f32 {
  let u = min((f32(bits) + 0.5) * 0x1p-32, 0x1.fffffep-1);
  let series = u * (1.0 + u * (0.5 + u * (1.0 / 3.0 + u * 0.25)));
  return -log(select(-log(1.0 - u), series, u < 0.03));
}
