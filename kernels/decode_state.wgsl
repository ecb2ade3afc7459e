// Books the tokens just drawn and moves on by one column; one workgroup.

struct Params { N: u32, stride: u32, columns: u32, stop_count: u32, pad_id: u32 }
@group(0) @binding(0) var<uniform> params: Params;

@group(0) @binding(1) var<storage, read> next: array<u32>;                 // (N)
@group(0) @binding(2) var<storage, read> logprobs: array<f32>;             // (N)
@group(0) @binding(3) var<storage, read> stop_ids: array<u32>;             // (S)
@group(0) @binding(4) var<storage, read_write> state: array<u32>;          // (4)
@group(0) @binding(5) var<storage, read_write> live: array<u32>;           // (4, stride)
@group(0) @binding(6) var<storage, read_write> tokens: array<u32>;         // (B, columns)
@group(0) @binding(7) var<storage, read_write> token_logprobs: array<f32>; // (B, columns)
@group(0) @binding(8) var<storage, read_write> position: array<u32>;       // (1)

const COLUMN = 0u;
const GENERATED = 1u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn advance(@builtin(local_invocation_index) lane: u32) {
  let column = state[COLUMN];
  for (var n = lane; n < params.N; n += WORKGROUP_SIZE) {
    let positions = params.stride + n; // where this row's number is in `live`
    let finished = 2 * params.stride + n;
    let current = 3 * params.stride + n;
    let done = live[finished] != 0;
    let id = select(next[n], params.pad_id, done);
    let place = live[n] * params.columns + column;
    tokens[place] = id;
    token_logprobs[place] = select(logprobs[n], 0.0, done);
    live[current] = id;
    live[positions] += 1;
    if (is_stop(id)) { live[finished] = 1; }
  }
  storageBarrier(); // every lane has read the column

  if (lane == 0) {
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
