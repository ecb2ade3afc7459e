// What an adapter can do at most: multiply-adds without memory, and memory without arithmetic.

struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;

// multiply_add
@group(0) @binding(1) var<storage, read> factors: array<f32>;         // (2): factor, addend
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;   // one a lane

// Twelve chains in every lane: enough to hide the cycles that a multiply-add takes, and no more than the registers
// of a CPU hold. `count` rounds of 96.
@compute @workgroup_size(WORKGROUP_SIZE)
fn multiply_add(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let factor = vec4f(factors[0]);
  let addend = vec4f(factors[1]);
  var a = vec4f(f32(lane));
  var b = a + addend;
  var c = b + addend;
  for (var i = 0u; i < params.count; i++) {
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
    a = fma(a, factor, addend); b = fma(b, factor, addend); c = fma(c, factor, addend);
  }
  out[group_index(group, groups) * WORKGROUP_SIZE + lane] = a + b + c;
}

// stream_copy
override VECTORS: u32 = 8; // a lane
@group(0) @binding(1) var<storage, read> source: array<vec4f>;      // (count)
@group(0) @binding(2) var<storage, read_write> copied: array<vec4f>;  // (count)

@compute @workgroup_size(WORKGROUP_SIZE)
fn stream_copy(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = group_index(group, groups) * VECTORS * WORKGROUP_SIZE + lane;
  for (var k = 0u; k < VECTORS; k++) {
    let i = first + k * WORKGROUP_SIZE;
    if (i < params.count) { copied[i] = source[i]; }
  }
}
