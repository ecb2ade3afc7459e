// Attention of one query of each sequence to the keys and values in its row of a cache: a workgroup for each sequence and
// head. `attend` comes with attention_decode_workgroup.wgsl or attention_decode_subgroup.wgsl, appended after this.

struct Params { columns: u32, heads: u32, window: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;         // (N, 3C)
@group(0) @binding(2) var<storage, read> rows: array<u32>;          // (N)
@group(0) @binding(3) var<storage, read> first: array<u32>;         // (B)
@group(0) @binding(4) var<storage, read> position: array<u32>;      // (1)
@group(0) @binding(5) var<storage, read_write> cache: array<vec4f>; // (B, columns, 2C)
@group(0) @binding(6) var<storage, read_write> out: array<f32>;     // (N, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn decode(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = position[0];
  let row = rows[group.y];
  // Where heads share no vector, a workgroup can store the key and value of its own.
  if (HEAD_SIZE % 4 == 0) {
    if (column < params.columns) { store_token(group.y, row * params.columns + column, group.x, lane); }
    storageBarrier();
  }
  let start = first_key(column, params.window, first[row]);
  attend(lane, Query(group.y, group.x, row * params.columns), start, min(column + 1, params.columns));
}

// What a workgroup computes: which of the N sequences and of the heads, and where the sequence's row of the cache begins.
struct Query { n: u32, head: u32, cache: u32 }

fn store_token(n: u32, place_in_cache: u32, head: u32, lane: u32) {
  for (var part = 0u; part < 2; part++) {
    let source = ((n * 3 + 1 + part) * params.heads + head) * HEAD_VEC4;
    let place = ((place_in_cache * 2 + part) * params.heads + head) * HEAD_VEC4;
    for (var c = lane; c < HEAD_VEC4; c += WORKGROUP_SIZE) { cache[place + c] = qkv[source + c]; }
  }
}

fn load_query(n: u32, head: u32, chunk: u32) -> vec4f {
  let i = (n * 3 * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return qkv[i / 4]; }
  return realign(qkv[i / 4], qkv[i / 4 + 1], i % 4, chunk);
}

// Four channels of a key or value (part 0 or 1), zeros past the head's end.
fn load_cache(row: u32, part: u32, head: u32, chunk: u32) -> vec4f {
  let i = ((row * 2 + part) * params.heads + head) * HEAD_SIZE + 4 * chunk;
  if (HEAD_SIZE % 4 == 0) { return cache[i / 4]; }
  return realign(cache[i / 4], cache[i / 4 + 1], i % 4, chunk);
}

fn store_out(n: u32, head: u32, chunk: u32, value: vec4f) {
  let i = (n * params.heads + head) * HEAD_SIZE + 4 * chunk;
  let size = HEAD_SIZE - 4 * chunk;
  out[i] = value.x;
  if (size > 1) { out[i + 1] = value.y; }
  if (size > 2) { out[i + 2] = value.z; }
  if (size > 3) { out[i + 3] = value.w; }
}
