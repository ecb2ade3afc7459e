// Gradients of attention without a (T, T) matrix and without atomics: weights are computed again from the saved
// log-sum-exp. With P = softmax(S), S = scale * Q K^T, O = P V (Dao et al. 2022, appendix B.2):
//   delta = rowsum(dO * O)   dS = P * (dO V^T - delta)   dQ = scale * dS K   dK = scale * dS^T Q   dV = P^T dO
// `backward_queries` writes delta and dQ, a lane for each query row; after it, `backward_keys` writes dK and dV, a
// lane for each key row.

override WORKGROUP_SIZE: u32 = 64;
override TILE: u32 = 16; // rows staged at a time

struct Params { T: u32, heads: u32, causal: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;          // (B, T, 3C)
@group(0) @binding(2) var<storage, read> keys: array<u32>;           // (B, 2)
@group(0) @binding(3) var<storage, read> saved_out: array<vec4f>;    // (B, T, C)
@group(0) @binding(4) var<storage, read> saved_lse: array<f32>;      // (B, NH, T)
@group(0) @binding(5) var<storage, read> dout: array<vec4f>;         // (B, T, C)
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;    // (B, NH, T)
@group(0) @binding(7) var<storage, read_write> dqkv: array<f32>;     // (B, T, 3C)

var<workgroup> tile_a: array<vec4f, TILE * HEAD_VEC4>;
var<workgroup> tile_b: array<vec4f, TILE * HEAD_VEC4>;
var<workgroup> tile_lse: array<f32, TILE>;
var<workgroup> tile_delta: array<f32, TILE>;

// Four channels of q, k or v (part 0, 1 or 2), zeros past the head's end.
fn load_qkv(row: u32, part: u32, head: u32, chunk: u32) -> vec4f {
  let i = (row * 3 + part) * params.heads * HEAD_SIZE + head * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return qkv[i / 4]; }
  return realign(qkv[i / 4], qkv[i / 4 + 1], i % 4, chunk);
}

fn load_out(row: u32, head: u32, chunk: u32) -> vec4f {
  let i = (row * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return saved_out[i / 4]; }
  return realign(saved_out[i / 4], saved_out[i / 4 + 1], i % 4, chunk);
}

fn load_dout(row: u32, head: u32, chunk: u32) -> vec4f {
  let i = (row * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return dout[i / 4]; }
  return realign(dout[i / 4], dout[i / 4 + 1], i % 4, chunk);
}

fn store_dqkv(row: u32, part: u32, head: u32, chunk: u32, value: vec4f) {
  let at = (row * 3 + part) * params.heads * HEAD_SIZE + head * HEAD_SIZE + 4 * chunk;
  for (var i = 0u; i < min(4, HEAD_SIZE - 4 * chunk); i++) { dqkv[at + i] = value[i]; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward_queries(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let batch = group.z * params.T;
  let first = keys[2 * group.z];
  let end = min(keys[2 * group.z + 1], params.T);
  let t = group.x * WORKGROUP_SIZE + lane;
  let row = min(t, params.T - 1);
  let visible = select(end, min(end, t + 1), params.causal != 0);
  let stop = select(end, min(end, (group.x + 1) * WORKGROUP_SIZE), params.causal != 0);
  let lse = saved_lse[(group.z * params.heads + head) * params.T + row];

  var q: array<vec4f, HEAD_VEC4>;
  var dy: array<vec4f, HEAD_VEC4>;
  var dq: array<vec4f, HEAD_VEC4>;
  var row_delta = 0.0;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    q[c] = params.scale * load_qkv(batch + row, 0, head, c);
    dy[c] = load_dout(batch + row, head, c);
    row_delta += dot(dy[c], load_out(batch + row, head, c));
  }
  for (var start = first; start < stop; start += TILE) {
    workgroupBarrier();
    for (var i = lane; i < TILE * HEAD_VEC4; i += WORKGROUP_SIZE) {
      let column = batch + min(start + i / HEAD_VEC4, end - 1);
      tile_a[i] = load_qkv(column, 1, head, i % HEAD_VEC4);
      tile_b[i] = load_qkv(column, 2, head, i % HEAD_VEC4);
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      var score = vec4f();
      var dweight = vec4f();
      for (var c = 0u; c < HEAD_VEC4; c++) {
        score += q[c] * tile_a[j * HEAD_VEC4 + c];
        dweight += dy[c] * tile_b[j * HEAD_VEC4 + c];
      }
      let weight = exp(select(LOWEST, sum4(score), start + j < visible) - lse);
      let dscore = params.scale * weight * (sum4(dweight) - row_delta);
      for (var c = 0u; c < HEAD_VEC4; c++) { dq[c] += dscore * tile_a[j * HEAD_VEC4 + c]; }
    }
  }

  if (t >= params.T) { return; }
  delta[(group.z * params.heads + head) * params.T + t] = row_delta;
  for (var c = 0u; c < HEAD_VEC4; c++) { store_dqkv(batch + t, 0, head, c, dq[c]); }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward_keys(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let batch = group.z * params.T;
  let first = keys[2 * group.z];
  let end = min(keys[2 * group.z + 1], params.T);
  let column = group.x * WORKGROUP_SIZE + lane;
  let row = min(column, params.T - 1);
  let valid = column >= first && column < end;
  let reach = select(0, column, params.causal != 0); // the first query that sees this key
  let scalars = (group.z * params.heads + head) * params.T;

  var k: array<vec4f, HEAD_VEC4>;
  var v: array<vec4f, HEAD_VEC4>;
  var dk: array<vec4f, HEAD_VEC4>;
  var dv: array<vec4f, HEAD_VEC4>;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    k[c] = params.scale * load_qkv(batch + row, 1, head, c);
    v[c] = load_qkv(batch + row, 2, head, c);
  }
  for (var start = select(0, group.x * WORKGROUP_SIZE, params.causal != 0); start < params.T; start += TILE) {
    workgroupBarrier();
    for (var i = lane; i < TILE * HEAD_VEC4; i += WORKGROUP_SIZE) {
      let t = batch + min(start + i / HEAD_VEC4, params.T - 1);
      tile_a[i] = load_qkv(t, 0, head, i % HEAD_VEC4);
      tile_b[i] = load_dout(t, head, i % HEAD_VEC4);
    }
    for (var i = lane; i < TILE; i += WORKGROUP_SIZE) {
      let t = scalars + min(start + i, params.T - 1);
      tile_lse[i] = saved_lse[t];
      tile_delta[i] = delta[t];
    }
    workgroupBarrier();
    for (var j = 0u; j < TILE; j++) {
      let t = start + j;
      var score = vec4f();
      var dweight = vec4f();
      for (var c = 0u; c < HEAD_VEC4; c++) {
        score += k[c] * tile_a[j * HEAD_VEC4 + c];
        dweight += v[c] * tile_b[j * HEAD_VEC4 + c];
      }
      let weight = exp(select(LOWEST, sum4(score), valid && t >= reach && t < params.T) - tile_lse[j]);
      let dscore = params.scale * weight * (sum4(dweight) - tile_delta[j]);
      for (var c = 0u; c < HEAD_VEC4; c++) {
        dk[c] += dscore * tile_a[j * HEAD_VEC4 + c];
        dv[c] += weight * tile_b[j * HEAD_VEC4 + c];
      }
    }
  }

  if (column >= params.T) { return; }
  for (var c = 0u; c < HEAD_VEC4; c++) {
    store_dqkv(batch + column, 1, head, c, dk[c]);
    store_dqkv(batch + column, 2, head, c, dv[c]);
  }
}
