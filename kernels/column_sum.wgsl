// Sums of the columns of x, first stage: workgroup (block, p) sums a block of columns over the p-th share of
// the rows. C counts elements.

struct Params { N: u32, C: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> x: array<Element>;                // (N, C)
@group(0) @binding(2) var<storage, read_write> partials: array<Element>;   // (P, C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn column_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let c = group.x * WORKGROUP_SIZE + lane;
  if (c >= params.C) { return; }
  let share = (params.N + groups.y - 1) / groups.y;
  let end = min(params.N, (group.y + 1) * share);

  var sum = Element(0.0);
  for (var row = group.y * share; row < end; row++) { sum += x[row * params.C + c]; }
  partials[group.y * params.C + c] = sum;
}
