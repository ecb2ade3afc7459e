// Shared by the attention kernels; appended after their own code. HEAD_SIZE comes with the dispatch.

const HEAD_VEC4: u32 = (HEAD_SIZE + 3) / 4; // vec4s in the row of one head, the last one padded with zeros
const LOWEST: f32 = -1.0e38; // below any score; compilers may assume that there are no infinities

// A place in a tile: a row and one of its HEAD_VEC4 vec4s.
struct Slot { row: u32, chunk: u32 }

// The first key that the query in column t may see: not padding, and at most `window` columns back with its own.
fn first_key(t: u32, window: u32, first: u32) -> u32 {
  return max(first, t + 1 - min(t + 1, window));
}

fn sum4(x: vec4f) -> f32 {
  return x.x + x.y + x.z + x.w;
}

// Four elements that begin `shift` elements into two adjacent vec4s, for heads whose size is not a multiple of four:
// chunk `chunk` of the head, zeros past the head's end.
fn realign(a: vec4f, b: vec4f, shift: u32, chunk: u32) -> vec4f {
  var x = a;
  switch (shift) {
    case 1: { x = vec4f(a.yzw, b.x); }
    case 2: { x = vec4f(a.zw, b.xy); }
    case 3: { x = vec4f(a.w, b.xyz); }
    default: {}
  }
  return select(vec4f(), x, vec4u(0, 1, 2, 3) < vec4u(HEAD_SIZE - 4 * chunk));
}
