// Products with very few columns, B transposed: a dot product of two rows for each element, a workgroup each.
// Strides, offsets and depth are multiples of WIDTH. Goes before elements_*.wgsl and common.wgsl.

struct Params {
  rows: u32, columns: u32, depth: u32, a_stride: u32, b_stride: u32, out_stride: u32,
  a_offset: u32, b_offset: u32, out_offset: u32, scale: f32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<Element>; // (rows, depth)
@group(0) @binding(2) var<storage, read> b: array<Element>; // (columns, depth)
@group(0) @binding(3) var<storage, read> bias: array<f32>; // (columns)
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // (rows, columns)

override HAS_BIAS: bool = false;
override ACCUMULATE: bool = false;

@compute @workgroup_size(WORKGROUP_SIZE)
fn multiply(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = group_index(group, groups);
  if (index >= params.rows * params.columns) { return; }
  let row = index / params.columns;
  let column = index % params.columns;
  let a_start = (params.a_offset + row * params.a_stride) / WIDTH;
  let b_start = (params.b_offset + column * params.b_stride) / WIDTH;

  var sum = Element(0.0);
  for (var k = lane; k < params.depth / WIDTH; k += WORKGROUP_SIZE) {
    sum = fma(a[a_start + k], b[b_start + k], sum);
  }
  var value = params.scale * workgroup_sum(lane, total(sum));

  if (lane == 0) {
    let at = params.out_offset + row * params.out_stride + column;
    if (HAS_BIAS) { value += bias[column]; }
    if (ACCUMULATE) { value += out[at]; }
    out[at] = value;
  }
}
