// Euclidean norm of everything in the gradient ranges, in two stages.

struct Params { count: u32 } // vec4s of the range; partial sums of all ranges
@group(0) @binding(0) var<uniform> params: Params;

override MAX_NORM: f32 = 0.0; // 0 for no clipping

// first stage, for each range: a partial sum of squares from each workgroup
@group(0) @binding(1) var<storage, read> grads: array<vec4f>;             // (count)
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;       // (workgroups)

const PLACES: u32 = 8;

fn square(gradient: vec4f) -> vec4f { return gradient * gradient; }

@compute @workgroup_size(WORKGROUP_SIZE)
fn sum_squares(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  // A workgroup's share is one piece, as memory likes to be read, but read at several places at once: a processor waits
  // for one of them no longer than for all.
  let share = (params.count + groups.x - 1) / groups.x;
  let first = min(params.count, group.x * share);
  let end = min(params.count, first + share);
  let apart = (end - first) / PLACES;
  var sum = vec4f(0.0);
  for (var i = first + lane; i < first + apart; i += WORKGROUP_SIZE) {
    for (var place = 0u; place < PLACES; place++) { sum += square(grads[i + place * apart]); }
  }
  for (var i = first + PLACES * apart + lane; i < end; i += WORKGROUP_SIZE) { sum += square(grads[i]); }
  let total = workgroup_sum(lane, (sum.x + sum.y) + (sum.z + sum.w));
  if (lane == 0) { squares[group.x] = total; }
}

// second stage: one workgroup
@group(0) @binding(1) var<storage, read> partials: array<f32>;            // (count)
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;          // (4)

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += WORKGROUP_SIZE) { sum += partials[i]; }
  let total = workgroup_sum(lane, sum);
  if (lane > 0) { return; }
  // By bits: a compiler may assume that there are no infinities and no NaN.
  let finite = (bitcast<u32>(total) & 0x7f800000u) != 0x7f800000u;
  let length = sqrt(total);
  var clip = 1.0;
  if (MAX_NORM > 0.0) { clip = min(1.0, MAX_NORM / (length + 1e-6)); }
  norm[0] = length;
  norm[1] = select(0.0, clip, finite);
  norm[2] = f32(finite);
  norm[3] = 0.0;
}
