// A tile: TILE rows of two tensors a and b, and two numbers for each row, that pass by every lane of a workgroup.
// This one lies in workgroup memory. attention_tile_subgroup.wgsl has the same functions for software adapters.

override TILE: u32 = 16;

var<workgroup> tile_rows_a: array<vec4f, TILE * HEAD_VEC4>;
var<workgroup> tile_rows_b: array<vec4f, TILE * HEAD_VEC4>;
var<workgroup> tile_numbers: array<vec2f, TILE>;

// Waits until the last tile is no longer in use. Every lane must call it, and tile_end() after its writes.
fn tile_begin() { workgroupBarrier(); }
fn tile_end() { workgroupBarrier(); }

// A lane writes one vec4 of a and one of b in each of so many steps, at this place.
fn tile_steps() -> u32 { return (TILE * HEAD_VEC4 + WORKGROUP_SIZE - 1) / WORKGROUP_SIZE; }
fn tile_slot(step: u32, lane: u32) -> Slot {
  let i = step * WORKGROUP_SIZE + lane;
  return Slot(i / HEAD_VEC4, i % HEAD_VEC4);
}

fn tile_write(slot: Slot, a: vec4f, b: vec4f) {
  if (slot.row >= TILE) { return; }
  tile_rows_a[slot.row * HEAD_VEC4 + slot.chunk] = a;
  tile_rows_b[slot.row * HEAD_VEC4 + slot.chunk] = b;
}

fn tile_write_numbers(slot: Slot, numbers: vec2f) {
  if (slot.row < TILE) { tile_numbers[slot.row] = numbers; }
}

fn tile_a(row: u32, chunk: u32) -> vec4f { return tile_rows_a[row * HEAD_VEC4 + chunk]; }
fn tile_b(row: u32, chunk: u32) -> vec4f { return tile_rows_b[row * HEAD_VEC4 + chunk]; }
fn numbers_of(row: u32) -> vec2f { return tile_numbers[row]; }
