// Gradients of attention without a (T, T) matrix and without atomics: weights are computed again from the saved
// log-sum-exp. With P = softmax(S), S = scale * Q K^T, O = P V (Dao et al. 2022, appendix B.2):
//   delta = rowsum(dO * O)   dS = P * (dO V^T - delta)   dQ = scale * dS K   dK = scale * dS^T Q   dV = P^T dO
// `backward_queries` writes delta and dQ, a lane for each query row; after it, `backward_keys` writes dK and dV, a
// lane for each key row.

override WORKGROUP_SIZE: u32 = 64;

struct Params { N: u32, heads: u32, causal: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;          // (N, 3C)
@group(0) @binding(2) var<storage, read> bounds: array<u32>;         // (B, 2)
@group(0) @binding(3) var<storage, read> saved_out: array<vec4f>;    // (N, C)
@group(0) @binding(4) var<storage, read> saved_lse: array<f32>;      // (NH, N)
@group(0) @binding(5) var<storage, read> dout: array<vec4f>;         // (N, C)
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;    // (NH, N)
@group(0) @binding(7) var<storage, read_write> dqkv: array<f32>;     // (N, 3C)

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
  let first = bounds[2 * group.z];
  let T = bounds[2 * group.z + 1] - first;
  if (group.x * WORKGROUP_SIZE >= T) { return; }
  let t = group.x * WORKGROUP_SIZE + lane;
  let row = first + min(t, T - 1);
  let visible = select(T, min(T, t + 1), params.causal != 0);
  let earliest = first_key(t, params.window, 0);
  let stop = select(T, min(T, (group.x + 1) * WORKGROUP_SIZE), params.causal != 0);
  let lse = saved_lse[head * params.N + row];

  var q: array<vec4f, HEAD_VEC4>;
  var dy: array<vec4f, HEAD_VEC4>;
  var dq: array<vec4f, HEAD_VEC4>;
  var row_delta = 0.0;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    q[c] = params.scale * load_qkv(row, 0, head, c);
    dy[c] = load_dout(row, head, c);
    row_delta += dot(dy[c], load_out(row, head, c));
  }
  for (var start = first_key(group.x * WORKGROUP_SIZE, params.window, 0); start < stop; start += TILE) {
    tile_begin();
    for (var step = 0u; step < tile_steps(); step++) {
      let slot = tile_slot(step, lane);
      let column = first + min(start + slot.row, T - 1);
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

  if (t >= T) { return; }
  delta[head * params.N + row] = row_delta;
  for (var c = 0u; c < HEAD_VEC4; c++) { store_dqkv(row, 0, head, c, dq[c]); }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward_keys(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let first = bounds[2 * group.z];
  let T = bounds[2 * group.z + 1] - first;
  let group_column = group.x * WORKGROUP_SIZE;
  if (group_column >= T) { return; }
  let column = group_column + lane;
  let row = first + min(column, T - 1);
  let seen_from = select(0, column, params.causal != 0); // the first query that looks here
  let seen_to = column + params.window; // one past the last
  let stop = min(T, group_column + WORKGROUP_SIZE - 1 + params.window);
  let scalars = head * params.N;

  var k: array<vec4f, HEAD_VEC4>;
  var v: array<vec4f, HEAD_VEC4>;
  var dk: array<vec4f, HEAD_VEC4>;
  var dv: array<vec4f, HEAD_VEC4>;
  for (var c = 0u; c < HEAD_VEC4; c++) {
    k[c] = params.scale * load_qkv(row, 1, head, c);
    v[c] = load_qkv(row, 2, head, c);
  }
  for (var start = select(0, group_column, params.causal != 0); start < stop; start += TILE) {
    tile_begin();
    for (var step = 0u; step < tile_steps(); step++) {
      let slot = tile_slot(step, lane);
      let t = first + min(start + slot.row, T - 1);
      tile_write(slot, load_qkv(t, 0, head, slot.chunk), load_dout(t, head, slot.chunk));
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
      let seen = start + j >= seen_from && start + j < seen_to;
      let weight = exp(select(LOWEST, sum4(score), seen) - numbers.x);
      let dscore = params.scale * weight * (sum4(dweight) - numbers.y);
      for (var c = 0u; c < HEAD_VEC4; c++) {
        dk[c] += dscore * tile_a(j, c);
        dv[c] += weight * tile_b(j, c);
      }
    }
  }

  if (column >= T) { return; }
  for (var c = 0u; c < HEAD_VEC4; c++) {
    store_dqkv(row, 1, head, c, dk[c]);
    store_dqkv(row, 2, head, c, dv[c]);
  }
}
