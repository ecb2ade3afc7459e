// out = wte[id] + wpe[position] of tables in 16 bits, one workgroup per row; tokens outside this shard of wte are
// left to the others.

struct Params { N: u32, C: u32, first: u32, count: u32 } // the shard's tokens
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> ids: array<u32>;             // (N)
@group(0) @binding(2) var<storage, read> positions: array<u32>;       // (N)
@group(0) @binding(3) var<storage, read> wte: array<u32>;             // (count, C), two in a word
@group(0) @binding(4) var<storage, read> wpe: array<u32>;             // (P, C), likewise
@group(0) @binding(5) var<storage, read_write> out: array<f32>;       // (N, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group_index(group, groups);
  if (row >= params.N) { return; }
  let token = ids[row] - params.first; // wraps below the shard
  if (token >= params.count) { return; }
  let position = positions[row];
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    let i = token * params.C + c;
    let j = position * params.C + c;
    out[row * params.C + c] = unpack2x16float(wte[i / 2])[i % 2] + unpack2x16float(wpe[j / 2])[j % 2];
  }
}
