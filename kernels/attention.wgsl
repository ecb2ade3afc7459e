// out = softmax(scale * q k^T) v for every head, flash style: a workgroup owns WORKGROUP_SIZE query rows of one
// head, a lane owns one row, and keys and values pass by in tiles with an online softmax. No (T, T) matrix exists.
//
// Tiles are counted from the first valid key, so a row's bits do not depend on padding to its left or right.

override WORKGROUP_SIZE: u32 = 64;
override TILE: u32 = 16; // keys staged at a time; a multiple of GROUP
const GROUP: u32 = 8; // keys between two rescalings of the running sums

struct Params { T: u32, heads: u32, causal: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;        // (B, T, 3C)
@group(0) @binding(2) var<storage, read> keys: array<u32>;         // (B, 2)
@group(0) @binding(3) var<storage, read_write> out: array<f32>;    // (B, T, C)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;    // (B, NH, T)

var<workgroup> tile_k: array<vec4f, TILE * HEAD_VEC4>;
var<workgroup> tile_v: array<vec4f, TILE * HEAD_VEC4>;

// Four channels of q, k or v (part 0, 1 or 2), zeros past the head's end.
fn load_qkv(row: u32, part: u32, head: u32, chunk: u32) -> vec4f {
  let i = (row * 3 + part) * params.heads * HEAD_SIZE + head * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return qkv[i / 4]; }
  return realign(qkv[i / 4], qkv[i / 4 + 1], i % 4, chunk);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let batch = group.z * params.T;
  let first = keys[2 * group.z];
  let end = min(keys[2 * group.z + 1], params.T);
  let t = group.x * WORKGROUP_SIZE + lane;
  let visible = select(end, min(end, t + 1), params.causal != 0); // one past the last key of this row
  let stop = select(end, min(end, (group.x + 1) * WORKGROUP_SIZE), params.causal != 0); // of any row here

  var q: array<vec4f, HEAD_VEC4>;
  var o: array<vec4f, HEAD_VEC4>;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    q[c] = params.scale * load_qkv(batch + min(t, params.T - 1), 0, head, c);
  }
  var peak = LOWEST;
  var total = 0.0;
  for (var start = first; start < stop; start += TILE) {
    workgroupBarrier();
    for (var i = lane; i < TILE * HEAD_VEC4; i += WORKGROUP_SIZE) {
      let column = batch + min(start + i / HEAD_VEC4, end - 1);
      tile_k[i] = load_qkv(column, 1, head, i % HEAD_VEC4);
      tile_v[i] = load_qkv(column, 2, head, i % HEAD_VEC4);
    }
    workgroupBarrier();
    for (var base = 0u; base < TILE; base += GROUP) {
      var scores: array<f32, GROUP>;
      var new_peak = peak;
      for (var j = 0u; j < GROUP; j++) {
        var score = vec4f();
        for (var c = 0u; c < HEAD_VEC4; c++) { score += q[c] * tile_k[(base + j) * HEAD_VEC4 + c]; }
        scores[j] = select(LOWEST, sum4(score), start + base + j < visible);
        new_peak = max(new_peak, scores[j]);
      }
      let shrink = exp(peak - new_peak);
      peak = new_peak;
      total *= shrink;
      for (var c = 0u; c < HEAD_VEC4; c++) { o[c] *= shrink; }
      for (var j = 0u; j < GROUP; j++) {
        let weight = select(0.0, exp(scores[j] - peak), start + base + j < visible);
        total += weight;
        for (var c = 0u; c < HEAD_VEC4; c++) { o[c] += weight * tile_v[(base + j) * HEAD_VEC4 + c]; }
      }
    }
  }

  if (t >= params.T) { return; }
  let inverse = select(0.0, 1.0 / total, total > 0.0);
  let at = ((batch + t) * params.heads + head) * HEAD_SIZE;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    let value = inverse * o[c];
    for (var i = 0u; i < min(4u, HEAD_SIZE - 4 * c); i++) { out[at + 4 * c + i] = value[i]; }
  }
  lse[(group.z * params.heads + head) * params.T + t] = select(0.0, peak + log(total), total > 0.0);
}
