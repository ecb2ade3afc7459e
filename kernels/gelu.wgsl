// out = gelu(x) and dout *= gelu'(x), one lane per four elements.

struct Params { size: u32 }
@group(0) @binding(0) var<uniform> params: Params;

override EXACT: bool = false; // x * Phi(x) rather than its tanh approximation

// forward
@group(0) @binding(1) var<storage, read> x: array<vec4f>;           // (size / 4) rounded up
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;   // the same

@compute @workgroup_size(WORKGROUP_SIZE)
fn forward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WORKGROUP_SIZE + lane;
  if (4 * i >= params.size) { return; }
  let z = x[i];
  var y = vec4f(gelu(z.x), gelu(z.y), gelu(z.z), gelu(z.w));
  if (4 * i + 4 > params.size) { y = select(out[i], y, inside(i)); }
  out[i] = y;
}

fn gelu(x: f32) -> f32 {
  if (EXACT) { return gelu_exact(x); }
  return gelu_new(x);
}

// Which of the i-th four elements there are: what lies past the end is another tensor's, and stays.
fn inside(i: u32) -> vec4<bool> {
  return 4 * i + vec4u(0, 1, 2, 3) < vec4u(params.size);
}

// backward
@group(0) @binding(2) var<storage, read_write> dout: array<vec4f>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn backward(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = group_index(group, groups) * WORKGROUP_SIZE + lane;
  if (4 * i >= params.size) { return; }
  let z = x[i];
  let slope = vec4f(derivative(z.x), derivative(z.y), derivative(z.z), derivative(z.w));
  dout[i] *= select(vec4f(1.0), slope, inside(i));
}

fn derivative(x: f32) -> f32 {
  if (EXACT) { return gelu_exact_derivative(x); }
  return gelu_new_derivative(x);
}
