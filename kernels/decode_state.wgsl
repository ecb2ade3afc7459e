// Books the tokens just drawn and moves on by one column; one workgroup.

struct Params { B: u32, columns: u32, stop_count: u32, pad_id: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> next: array<u32>;                 // (B)
@group(0) @binding(2) var<storage, read> logprobs: array<f32>;             // (B)
@group(0) @binding(3) var<storage, read> stop_ids: array<u32>;             // (S)
@group(0) @binding(4) var<storage, read_write> state: array<u32>;          // (8)
@group(0) @binding(5) var<storage, read_write> tokens: array<u32>;         // (B, columns)
@group(0) @binding(6) var<storage, read_write> token_logprobs: array<f32>; // (B, columns)
@group(0) @binding(7) var<storage, read_write> positions: array<u32>;      // (B)
@group(0) @binding(8) var<storage, read_write> finished: array<u32>;       // (B)
@group(0) @binding(9) var<storage, read_write> current: array<u32>;        // (B)
@group(0) @binding(10) var<storage, read_write> position: array<u32>;      // (1)

const COLUMN = 0u;
const GENERATED = 1u;
const ACTIVE = 5u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn advance(@builtin(local_invocation_index) lane: u32) {
  let column = state[COLUMN];
  var unfinished = 0.0;
  for (var b = lane; b < params.B; b += WORKGROUP_SIZE) {
    let done = finished[b] != 0;
    let id = select(next[b], params.pad_id, done);
    tokens[b * params.columns + column] = id;
    token_logprobs[b * params.columns + column] = select(logprobs[b], 0.0, done);
    current[b] = id;
    positions[b] += 1;
    if (done || is_stop(id)) { finished[b] = 1; } else { unfinished += 1.0; }
  }
  let total = workgroup_sum(lane, unfinished);
  storageBarrier(); // every lane has read the column

  if (lane == 0) {
    state[ACTIVE] = u32(total);
    position[0] = column;
    state[COLUMN] = column + 1;
    state[GENERATED] += 1;
  }
}

fn is_stop(id: u32) -> bool {
  for (var s = 0u; s < params.stop_count; s++) {
    if (stop_ids[s] == id) { return true; }
  }
  return false;
}
