// Keys and values of tokens to the columns of a cache; a workgroup copies those of one. Sequences end in the same column.

override HAS_BOUNDS: bool = true; // else every sequence is one token

struct Params { N: u32, Q: u32, columns: u32, C: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Element>;            // (N, 3C)
@group(0) @binding(2) var<storage, read> position: array<u32>;           // (1)
@group(0) @binding(3) var<storage, read_write> cache: array<Element>;    // (B, columns, 2C)
@group(0) @binding(4) var<storage, read> bounds: array<u32>;             // (B, 2)
@group(0) @binding(5) var<storage, read> rows: array<u32>;               // (N)

@compute @workgroup_size(WORKGROUP_SIZE)
fn store(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group_index(group, groups);
  let n = index / params.Q;
  let q = index % params.Q;
  let column = position[0] + q;
  if (n >= params.N || column >= params.columns) { return; }
  var token = n;
  var row = n;
  if (HAS_BOUNDS) {
    let before = params.Q - (bounds[2 * n + 1] - bounds[2 * n]); // columns before the sequence
    if (q < before) { return; }
    token = bounds[2 * n] + q - before;
  } else {
    row = rows[n];
  }
  let start = (3 * token + 1) * params.C;
  let to = (row * params.columns + column) * 2 * params.C;
  for (var i = lane; i < 2 * params.C; i += WORKGROUP_SIZE) { cache[to + i] = qkv[start + i]; }
}
