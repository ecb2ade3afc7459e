// dtable[target] += sum of the rows of dout that share that target, one workgroup per group of rows; targets
// outside this shard of the table are left to the others.

struct Params { N: u32, C: u32, first: u32, count: u32 } // C in elements; the shard's targets
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> order: array<u32>;                // (N) rows, group after group
@group(0) @binding(2) var<storage, read> starts: array<u32>;               // (N) where a group begins in order
@group(0) @binding(3) var<storage, read> lengths: array<u32>;              // (N) its rows, 0 past the last group
@group(0) @binding(4) var<storage, read> targets: array<u32>;              // (N) its row of the table
@group(0) @binding(5) var<storage, read> dout: array<Element>;             // (N, C)
@group(0) @binding(6) var<storage, read_write> dtable: array<Element>;     // (count, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = group_index(workgroup, workgroups);
  if (group >= params.N) { return; }
  let length = lengths[group];
  let row = targets[group] - params.first; // wraps below the shard
  if (length == 0 || row >= params.count) { return; }
  let start = starts[group];
  for (var c = lane; c < params.C; c += WORKGROUP_SIZE) {
    var sum = Element(0.0);
    for (var i = start; i < start + length; i++) { sum += dout[order[i] * params.C + c]; }
    dtable[row * params.C + c] += sum;
  }
}
