// out = softmax(scale * q k^T) v for every head, flash style: a workgroup owns WORKGROUP_SIZE query rows of one
// head, a lane owns one row, and keys and values pass by in tiles. No (T, T) matrix exists.
//
// The online softmax moves from key to key and not from tile to tile, so a row's bits depend on nothing but the
// row and its own keys: not on other rows, or the sizes of tiles and workgroups. Only a value that is not finite reaches
// earlier rows of its sequence, since its weight there is 0 and the product NaN.

override WORKGROUP_SIZE: u32 = 64;

struct Params { N: u32, heads: u32, causal: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;        // (N, 3C)
@group(0) @binding(2) var<storage, read> bounds: array<u32>;       // (B, 2)
@group(0) @binding(3) var<storage, read_write> out: array<f32>;    // (N, C)
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;    // (NH, N)

// Four channels of q, k or v (part 0, 1 or 2), zeros past the head's end.
fn load_qkv(row: u32, part: u32, head: u32, chunk: u32) -> vec4f {
  let i = ((row * 3 + part) * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return qkv[i / 4]; }
  return realign(qkv[i / 4], qkv[i / 4 + 1], i % 4, chunk);
}

fn store_out(row: u32, head: u32, chunk: u32, value: vec4f) {
  let i = (row * params.heads + head) * HEAD_SIZE + 4 * chunk;
  let size = HEAD_SIZE - 4 * chunk;
  out[i] = value.x;
  if (size > 1) { out[i + 1] = value.y; }
  if (size > 2) { out[i + 2] = value.z; }
  if (size > 3) { out[i + 3] = value.w; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let first = bounds[2 * group.z];
  let T = bounds[2 * group.z + 1] - first; // tokens of this sequence
  if (group.x * WORKGROUP_SIZE >= T) { return; } // it is shorter than the longest
  let t = group.x * WORKGROUP_SIZE + lane;
  let visible = select(T, min(T, t + 1), params.causal != 0); // one past the last key of this row
  let earliest = first_key(t, params.window, 0);
  let stop = select(T, min(T, (group.x + 1) * WORKGROUP_SIZE), params.causal != 0); // and of every row here

  var q: array<vec4f, HEAD_VEC4>;
  var o: array<vec4f, HEAD_VEC4>; // sum of exp(score - peak) * v
  var peak = LOWEST;
  var total = 0.0; // sum of exp(score - peak)
  for (var c = 0u; c < HEAD_VEC4; c++) {
    q[c] = params.scale * load_qkv(first + min(t, T - 1), 0, head, c);
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
      var products = vec4f();
      for (var c = 0u; c < HEAD_VEC4; c++) { products += q[c] * tile_a(j, c); }
      let seen = start + j >= earliest && start + j < visible;
      let score = select(LOWEST, sum4(products), seen);
      if (score > peak) {
        let shrink = exp(peak - score);
        peak = score;
        total *= shrink;
        for (var c = 0u; c < HEAD_VEC4; c++) { o[c] *= shrink; }
      }
      let weight = select(0.0, exp(score - peak), seen);
      total += weight;
      for (var c = 0u; c < HEAD_VEC4; c++) { o[c] += weight * tile_b(j, c); }
    }
  }

  if (t >= T) { return; }
  let inverse = 1.0 / total; // a token sees itself at least
  for (var c = 0u; c < HEAD_VEC4; c++) { store_out(first + t, head, c, inverse * o[c]); }
  lse[head * params.N + first + t] = peak + log(total);
}
