// Gradients of layer_norm to weight and bias, first stage: workgroup (block, p) sums a block of columns over
// the p-th share of the rows. C counts elements, WIDTH columns each.

struct Params { N: u32, C: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> x: array<Element>;                // (N, C)
@group(0) @binding(2) var<storage, read> saved_mean: array<f32>;           // (N)
@group(0) @binding(3) var<storage, read> saved_rstd: array<f32>;           // (N)
@group(0) @binding(4) var<storage, read> dout: array<Element>;             // (N, C)
@group(0) @binding(5) var<storage, read_write> partials: array<Element>;   // (P, 2, C): dweight, dbias

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward_parameters(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let c = group.x * WORKGROUP_SIZE + lane;
  if (c >= params.C) { return; }
  let share = (params.N + groups.y - 1) / groups.y;
  let end = min(params.N, (group.y + 1) * share);

  var dweight = Element(0.0);
  var dbias = Element(0.0);
  for (var row = group.y * share; row < end; row++) {
    let gradient = dout[row * params.C + c];
    dweight += gradient * (x[row * params.C + c] - saved_mean[row]) * saved_rstd[row];
    dbias += gradient;
  }
  partials[2 * group.y * params.C + c] = dweight;
  partials[(2 * group.y + 1) * params.C + c] = dbias;
}
