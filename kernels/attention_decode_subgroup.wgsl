// For a workgroup that is one subgroup, on adapters where registers are few, and barriers and arrays of them slow. Of as
// many keys as there are lanes, each lane takes the score of one; of their values, each lane sums four channels, and
// four more of a head that is longer. Heads are at most 8 x WORKGROUP_SIZE channels long.

// Attends to the keys from column `first` to before `end`. Every lane must call it.
fn attend(lane: u32, query: Query, first: u32, end: u32) {
  let is_long = HEAD_VEC4 > WORKGROUP_SIZE;
  // HEAD_VEC4, in a way that keeps the loop over it a loop: unrolled, its loads do not fit a processor's cache.
  let chunks = min(HEAD_VEC4, params.columns * HEAD_VEC4);

  // Of chunks `lane` and `WORKGROUP_SIZE + lane` of the head; lanes beyond its end compute what is never stored.
  var q_0 = params.scale * load_query(query.n, query.head, lane);
  var q_1 = vec4f();
  if (is_long) { q_1 = params.scale * load_query(query.n, query.head, WORKGROUP_SIZE + lane); }
  var o_0 = vec4f(); // sum of exp(score - peak) * v
  var o_1 = vec4f();
  var peak = LOWEST;
  var total = 0.0; // sum of exp(score - peak)
  for (var start = first; start < end; start += WORKGROUP_SIZE) {
    let column = min(start + lane, end - 1);
    var products = vec4f();
    for (var c = 0u; c < min(chunks, WORKGROUP_SIZE); c++) {
      products += subgroupShuffle(q_0, c) * load_cache(query.cache + column, 0, query.head, c);
    }
    if (is_long) {
      for (var c = WORKGROUP_SIZE; c < chunks; c++) {
        products += subgroupShuffle(q_1, c - WORKGROUP_SIZE) * load_cache(query.cache + column, 0, query.head, c);
      }
    }
    let score = sum4(products);
    let higher = max(peak, subgroupMax(score)); // lanes beyond the end repeat the last score
    let weight = select(0.0, exp(score - higher), start + lane < end);
    let shrink = exp(peak - higher);
    peak = higher;
    total = shrink * total + subgroupAdd(weight);
    o_0 *= shrink;
    o_1 *= shrink;
    for (var i = 0u; i < min(WORKGROUP_SIZE, end - start); i++) {
      let row = query.cache + start + i;
      let w = subgroupShuffle(weight, i);
      o_0 += w * load_cache(row, 1, query.head, lane);
      if (is_long) { o_1 += w * load_cache(row, 1, query.head, WORKGROUP_SIZE + lane); }
    }
  }

  let inverse = select(0.0, 1.0 / total, total > 0.0);
  if (lane < HEAD_VEC4) { store_out(query.n, query.head, lane, inverse * o_0); }
  if (WORKGROUP_SIZE + lane < HEAD_VEC4) { store_out(query.n, query.head, WORKGROUP_SIZE + lane, inverse * o_1); }
}
