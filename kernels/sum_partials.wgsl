// out += sum of partials over their first axis: the second stage of every sum over rows. One lane per element.

struct Params { P: u32, C: u32, stride: u32, start: u32 } // all but P in elements
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> partials: array<Element>;    // (P, stride), columns from `start`
@group(0) @binding(2) var<storage, read_write> out: array<Element>;   // (C)

@compute @workgroup_size(WORKGROUP_SIZE)
fn sum_partials(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.C) { return; }
  var sum = Element(0.0);
  for (var p = 0u; p < params.P; p++) { sum += partials[p * params.stride + params.start + c]; }
  out[c] += sum;
}
