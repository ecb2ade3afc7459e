// Every lane attends to its share of the keys with an online softmax of its own; their results are joined at the end.

var<workgroup> sums: array<vec4f, WORKGROUP_SIZE * HEAD_VEC4>; // the values of each lane

// Attends to the keys from column `first` to before `end`. Every lane must call it.
fn attend(lane: u32, query: Query, first: u32, end: u32) {
  var q: array<vec4f, HEAD_VEC4>;
  var o: array<vec4f, HEAD_VEC4>; // sum of exp(score - peak) * v
  var peak = LOWEST;
  var total = 0.0; // sum of exp(score - peak)
  for (var c = 0u; c < HEAD_VEC4; c++) { q[c] = params.scale * load_query(query.n, query.head, c); }
  for (var column = first + lane; column < end; column += WORKGROUP_SIZE) {
    var products = vec4f();
    for (var c = 0u; c < HEAD_VEC4; c++) { products += q[c] * load_cache(query.cache + column, 0, query.head, c); }
    let score = sum4(products);
    if (score > peak) {
      let shrink = exp(peak - score);
      peak = score;
      total *= shrink;
      for (var c = 0u; c < HEAD_VEC4; c++) { o[c] *= shrink; }
    }
    let weight = exp(score - peak);
    total += weight;
    for (var c = 0u; c < HEAD_VEC4; c++) { o[c] += weight * load_cache(query.cache + column, 1, query.head, c); }
  }

  let shrink = exp(peak - workgroup_max(lane, peak));
  for (var c = 0u; c < HEAD_VEC4; c++) { sums[c * WORKGROUP_SIZE + lane] = shrink * o[c]; }
  total = workgroup_sum(lane, shrink * total); // and a barrier for the sums
  let inverse = select(0.0, 1.0 / total, total > 0.0);
  for (var c = lane; c < HEAD_VEC4; c += WORKGROUP_SIZE) {
    var value = vec4f();
    for (var i = 0u; i < WORKGROUP_SIZE; i++) { value += sums[c * WORKGROUP_SIZE + i]; }
    store_out(query.n, query.head, c, inverse * value);
  }
}
