// Gradients of attention without a (T, T) matrix and without atomics: weights are computed again from the saved
// log-sum-exp. With P = softmax(S), S = scale * Q K^T, O = P V (Dao et al. 2022, appendix B.2):
//   delta = rowsum(dO * O)   dS = P * (dO V^T - delta)   dQ = scale * dS K   dK = scale * dS^T Q   dV = P^T dO
// `backward_queries` writes delta and dQ, a lane for each query row; after it, `backward_keys` writes dK and dV, a
// lane for each key row.

override WORKGROUP_SIZE: u32 = 64;

struct Params { T: u32, heads: u32, causal: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;          // (B, T, 3C)
@group(0) @binding(2) var<storage, read> keys: array<u32>;           // (B, 2)
@group(0) @binding(3) var<storage, read> saved_out: array<vec4f>;    // (B, T, C)
@group(0) @binding(4) var<storage, read> saved_lse: array<f32>;      // (B, NH, T)
@group(0) @binding(5) var<storage, read> dout: array<vec4f>;         // (B, T, C)
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;    // (B, NH, T)
@group(0) @binding(7) var<storage, read_write> dqkv: array<f32>;     // (B, T, 3C)

// Four channels of q, k or v (part 0, 1 or 2), zeros past the head's end.
fn load_qkv(row: u32, part: u32, head: u32, chunk: u32) -> vec4f {
  let i = ((row * 3 + part) * params.heads + head) * HEAD_SIZE + 4 * chunk;
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
  let i = ((row * 3 + part) * params.heads + head) * HEAD_SIZE + 4 * chunk;
  let size = HEAD_SIZE - 4 * chunk;
  dqkv[i] = value.x;
  if (size > 1) { dqkv[i + 1] = value.y; }
  if (size > 2) { dqkv[i + 2] = value.z; }
  if (size > 3) { dqkv[i + 3] = value.w; }
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
  let earliest = first_key(t, params.window, first);
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
  for (var start = first_key(group.x * WORKGROUP_SIZE, params.window, first); start < stop; start += TILE) {
    tile_begin();
    for (var step = 0u; step < tile_steps(); step++) {
      let slot = tile_slot(step, lane);
      let column = batch + min(start + slot.row, end - 1);
      tile_write(slot, load_qkv(column, 1, head, slot.chunk), load_qkv(column, 2, head, slot.chunk));
    }
    tile_end();
    for (var j = 0u; j < min(TILE, stop - start); j++) {
      var score = vec4f();
      var dweight = vec4f();
      for (var c = 0u; c < HEAD_VEC4; c++) {
        score += q[c] * tile_a(j, c);
        dweight += dy[c] * tile_b(j, c);
      }
      let seen = start + j >= earliest && start + j < visible;
      let weight = exp(select(LOWEST, sum4(score), seen) - lse);
      let dscore = params.scale * weight * (sum4(dweight) - row_delta);
      for (var c = 0u; c < HEAD_VEC4; c++) { dq[c] += dscore * tile_a(j, c); }
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
  let group_column = group.x * WORKGROUP_SIZE;
  let column = group_column + lane;
  let row = min(column, params.T - 1);
  let valid = column >= first && column < end;
  let seen_from = select(0, column, params.causal != 0); // the first query that looks here
  let seen_to = column + params.window; // one past the last
  let last = min(params.T, group_column + WORKGROUP_SIZE - 1 + params.window);
  let stop = select(0, last, group_column < end && group_column + WORKGROUP_SIZE > first); // none if all is padding
  let scalars = (group.z * params.heads + head) * params.T;

  var k: array<vec4f, HEAD_VEC4>;
  var v: array<vec4f, HEAD_VEC4>;
  var dk: array<vec4f, HEAD_VEC4>;
  var dv: array<vec4f, HEAD_VEC4>;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    k[c] = params.scale * load_qkv(batch + row, 1, head, c);
    v[c] = load_qkv(batch + row, 2, head, c);
  }
  for (var start = select(0, group_column, params.causal != 0); start < stop; start += TILE) {
    tile_begin();
    for (var step = 0u; step < tile_steps(); step++) {
      let slot = tile_slot(step, lane);
      let t = min(start + slot.row, params.T - 1);
      tile_write(slot, load_qkv(batch + t, 0, head, slot.chunk), load_dout(batch + t, head, slot.chunk));
      if (slot.chunk == 0) { tile_write_numbers(slot, vec2f(saved_lse[scalars + t], delta[scalars + t])); }
    }
    tile_end();
    for (var j = 0u; j < min(TILE, stop - start); j++) {
      var score = vec4f();
      var dweight = vec4f();
      for (var c = 0u; c < HEAD_VEC4; c++) {
        score += k[c] * tile_a(j, c);
        dweight += v[c] * tile_b(j, c);
      }
      let numbers = numbers_of(j); // log-sum-exp and delta of the query
      let seen = valid && start + j >= seen_from && start + j < seen_to;
      let weight = exp(select(LOWEST, sum4(score), seen) - numbers.x);
      let dscore = params.scale * weight * (sum4(dweight) - numbers.y);
      for (var c = 0u; c < HEAD_VEC4; c++) {
        dk[c] += dscore * tile_a(j, c);
        dv[c] += weight * tile_b(j, c);
      }
    }
  }

  if (column >= params.T) { return; }
  for (var c = 0u; c < HEAD_VEC4; c++) {
    store_dqkv(batch + column, 1, head, c, dk[c]);
    store_dqkv(batch + column, 2, head, c, dv[c]);
  }
}
