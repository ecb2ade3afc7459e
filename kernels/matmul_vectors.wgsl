// What the matrix products that work on vectors of four columns share: their tensors, and what follows the sum.
// Appended after the code of a kernel, before gelu_functions.wgsl.

struct Params {
  rows: u32, columns: u32, depth: u32, a_stride: u32, b_stride: u32, out_stride: u32,
  a_offset: u32, b_offset: u32, out_offset: u32, scale: f32
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read> residual: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> preactivation: array<vec4f>;

override HAS_BIAS: bool = false;
override HAS_RESIDUAL: bool = false;
override HAS_PREACTIVATION: bool = false;
override ACTIVATION: u32 = 0; // 1 gelu_new, 2 exact gelu
override ACCUMULATE: bool = false;

fn finish(row: u32, column: u32, sum: vec4f) {
  if (row < params.rows && column < params.columns / 4) {
    let at = row * (params.columns / 4) + column;
    let out_at = params.out_offset / 4 + row * (params.out_stride / 4) + column;
    var value = params.scale * sum; // a scale other than 1 goes without a bias, which is in the sum
    if (HAS_PREACTIVATION) { preactivation[at] = value; }
    if (ACTIVATION == 1) {
      value = vec4f(gelu_new(value.x), gelu_new(value.y), gelu_new(value.z), gelu_new(value.w));
    } else if (ACTIVATION == 2) {
      value = vec4f(gelu_exact(value.x), gelu_exact(value.y), gelu_exact(value.z), gelu_exact(value.w));
    }
    if (HAS_RESIDUAL) { value += residual[at]; }
    if (ACCUMULATE) { value += out[out_at]; }
    out[out_at] = value;
  }
}
