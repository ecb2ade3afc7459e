// Attention of one query of each sequence to the keys and values in a cache: a workgroup for each sequence and
// head. In every round of ROUND keys the lanes first score a key each, several times over; then each lane sums the
// values of every SLICES-th key over four channels.

const KEYS_PER_LANE: u32 = 4;
override ROUND: u32 = KEYS_PER_LANE * WORKGROUP_SIZE;
override SLICES: u32 = max(1, WORKGROUP_SIZE / HEAD_VEC4);

struct Params { columns: u32, heads: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;         // (B, 3C)
@group(0) @binding(2) var<storage, read> cache: array<vec4f>;       // (B, columns, 2C)
@group(0) @binding(3) var<storage, read> keys: array<u32>;          // (B, 2)
@group(0) @binding(4) var<storage, read> position: array<u32>;      // (1)
@group(0) @binding(5) var<storage, read_write> out: array<f32>;     // (B, C)

var<workgroup> weights: array<f32, ROUND>;
var<workgroup> sums: array<vec4f, WORKGROUP_SIZE + HEAD_VEC4>; // (SLICES, HEAD_VEC4)

fn load_query(b: u32, head: u32, chunk: u32) -> vec4f {
  let i = (b * 3 * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return qkv[i / 4]; }
  return realign(qkv[i / 4], qkv[i / 4 + 1], i % 4, chunk);
}

// Four channels of a key or value (part 0 or 1), zeros past the head's end.
fn load_cache(row: u32, part: u32, head: u32, chunk: u32) -> vec4f {
  let i = ((row * 2 + part) * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return cache[i / 4]; }
  return realign(cache[i / 4], cache[i / 4 + 1], i % 4, chunk);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn decode(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = keys[2 * group.y];
  let end = min(position[0] + 1, params.columns);
  let batch = group.y * params.columns;

  var q: array<vec4f, HEAD_VEC4>;
  for (var c = 0u; c < HEAD_VEC4; c++) { q[c] = params.scale * load_query(group.y, head, c); }
  for (var slot = lane; slot < SLICES * HEAD_VEC4; slot += WORKGROUP_SIZE) { sums[slot] = vec4f(); }

  var peak = LOWEST;
  var total = 0.0; // of this lane's keys
  for (var start = first; start < end; start += ROUND) {
    var scores: array<f32, KEYS_PER_LANE>;
    var new_peak = peak;
    for (var i = 0u; i < KEYS_PER_LANE; i++) {
      let column = start + i * WORKGROUP_SIZE + lane;
      var score = vec4f();
      for (var c = 0u; c < HEAD_VEC4; c++) { score += q[c] * load_cache(batch + min(column, end - 1), 0, head, c); }
      scores[i] = select(LOWEST, sum4(score), column < end);
      new_peak = max(new_peak, scores[i]);
    }
    new_peak = workgroup_max(lane, new_peak);
    let shrink = exp(peak - new_peak);
    peak = new_peak;
    total *= shrink;
    for (var i = 0u; i < KEYS_PER_LANE; i++) {
      let weight = select(0.0, exp(scores[i] - peak), start + i * WORKGROUP_SIZE + lane < end);
      weights[i * WORKGROUP_SIZE + lane] = weight;
      total += weight;
    }
    workgroupBarrier();
    for (var slot = lane; slot < SLICES * HEAD_VEC4; slot += WORKGROUP_SIZE) {
      var sum = shrink * sums[slot];
      for (var j = slot / HEAD_VEC4; j < min(ROUND, end - start); j += SLICES) {
        sum += weights[j] * load_cache(batch + start + j, 1, head, slot % HEAD_VEC4);
      }
      sums[slot] = sum;
    }
    workgroupBarrier();
  }

  total = workgroup_sum(lane, total);
  let inverse = select(0.0, 1.0 / total, total > 0.0);
  let at = (group.y * params.heads + head) * HEAD_SIZE;
  for (var c = lane; c < HEAD_VEC4; c += WORKGROUP_SIZE) {
    var value = vec4f();
    for (var slice = 0u; slice < SLICES; slice++) { value += sums[slice * HEAD_VEC4 + c]; }
    value *= inverse;
    let size = HEAD_SIZE - 4 * c;
    out[at + 4 * c] = value.x;
    if (size > 1) { out[at + 4 * c + 1] = value.y; }
    if (size > 2) { out[at + 4 * c + 2] = value.z; }
    if (size > 3) { out[at + 4 * c + 3] = value.w; }
  }
}
