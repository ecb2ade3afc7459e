// Attention of one query of each sequence to the keys and values in a cache: a workgroup for each sequence and
// head. Every lane attends to its share of the keys with an online softmax of its own; their results are joined
// at the end.

struct Params { columns: u32, heads: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;         // (B, 3C)
@group(0) @binding(2) var<storage, read> cache: array<vec4f>;       // (B, columns, 2C)
@group(0) @binding(3) var<storage, read> keys: array<u32>;          // (B, 2)
@group(0) @binding(4) var<storage, read> position: array<u32>;      // (1)
@group(0) @binding(5) var<storage, read_write> out: array<f32>;     // (B, C)

var<workgroup> sums: array<vec4f, WORKGROUP_SIZE * HEAD_VEC4>; // the values of each lane

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

fn store_out(b: u32, head: u32, chunk: u32, value: vec4f) {
  let i = (b * params.heads + head) * HEAD_SIZE + 4 * chunk;
  let size = HEAD_SIZE - 4 * chunk;
  out[i] = value.x;
  if (size > 1) { out[i + 1] = value.y; }
  if (size > 2) { out[i + 2] = value.z; }
  if (size > 3) { out[i + 3] = value.w; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn decode(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let first = first_key(position[0], params.window, keys[2 * group.y]);
  let end = min(position[0] + 1, params.columns);
  let batch = group.y * params.columns;

  var q: array<vec4f, HEAD_VEC4>;
  var o: array<vec4f, HEAD_VEC4>; // sum of exp(score - peak) * v
  var peak = LOWEST;
  var total = 0.0; // sum of exp(score - peak)
  for (var c = 0u; c < HEAD_VEC4; c++) { q[c] = params.scale * load_query(group.y, head, c); }
  for (var column = first + lane; column < end; column += WORKGROUP_SIZE) {
    var products = vec4f();
    for (var c = 0u; c < HEAD_VEC4; c++) { products += q[c] * load_cache(batch + column, 0, head, c); }
    let score = sum4(products);
    if (score > peak) {
      let shrink = exp(peak - score);
      peak = score;
      total *= shrink;
      for (var c = 0u; c < HEAD_VEC4; c++) { o[c] *= shrink; }
    }
    let weight = exp(score - peak);
    total += weight;
    for (var c = 0u; c < HEAD_VEC4; c++) { o[c] += weight * load_cache(batch + column, 1, head, c); }
  }

  let shrink = exp(peak - workgroup_max(lane, peak));
  for (var c = 0u; c < HEAD_VEC4; c++) { sums[c * WORKGROUP_SIZE + lane] = shrink * o[c]; }
  total = workgroup_sum(lane, shrink * total); // and a barrier for the sums
  let inverse = select(0.0, 1.0 / total, total > 0.0);
  for (var c = lane; c < HEAD_VEC4; c += WORKGROUP_SIZE) {
    var value = vec4f();
    for (var i = 0u; i < WORKGROUP_SIZE; i++) { value += sums[c * WORKGROUP_SIZE + i]; }
    store_out(group.y, head, c, inverse * value);
  }
}
