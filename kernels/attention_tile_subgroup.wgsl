// The tile of attention_tile_workgroup.wgsl for a workgroup that is one subgroup: a lane keeps one row in registers
// and the others take it from there. On a CPU that is several times faster than loads from workgroup memory.

override TILE: u32 = WORKGROUP_SIZE;

var<private> own_a: array<vec4f, HEAD_VEC4>;
var<private> own_b: array<vec4f, HEAD_VEC4>;
var<private> own_numbers: vec2f;

fn tile_begin() {}
fn tile_end() {}

// HEAD_VEC4, in a way that keeps the loop over the steps a loop: unrolled, its loads take LLVM seconds to compile.
fn tile_steps() -> u32 { return min(HEAD_VEC4, params.N * HEAD_VEC4); }
fn tile_slot(step: u32, lane: u32) -> Slot { return Slot(lane, step); }

fn tile_write(slot: Slot, a: vec4f, b: vec4f) {
  own_a[slot.chunk] = a;
  own_b[slot.chunk] = b;
}

fn tile_write_numbers(slot: Slot, numbers: vec2f) { own_numbers = numbers; }

// These must be called by all lanes together.
fn tile_a(row: u32, chunk: u32) -> vec4f { return subgroupShuffle(own_a[chunk], row); }
fn tile_b(row: u32, chunk: u32) -> vec4f { return subgroupShuffle(own_b[chunk], row); }
fn numbers_of(row: u32) -> vec2f { return subgroupShuffle(own_numbers, row); }
