// Skinny products, of few rows with B transposed, on GPUs, where reading B is all the work: a workgroup computes a strip
// of 4 x 16 elements, one for each of its 64 invocations. An element's products are added in their order, one waiting
// for the other, and strips are few where B is small: so a strip asks for 128 of depth at once, and for the next 128
// before it adds up these. The sums are those of matmul.wgsl, bit for bit.
// Goes before matmul_vectors.wgsl.

// Vectors of a row in a part, and from row to row: one more keeps rows out of each other's memory banks.
const PART = 32u;
const STEP = 33u;

var<workgroup> a_part: array<vec4f, 4 * STEP>;  // 4 rows
var<workgroup> b_part: array<vec4f, 16 * STEP>; // 16 columns of the product
var<workgroup> sums: array<f32, 64>;

// What an invocation loads of a part: vector `local % 32` of every second row, from row `local / 32`.
struct Loaded { a: array<vec4f, 2>, b: array<vec4f, 8> }

@compute @workgroup_size(64)
fn multiply_strip(@builtin(workgroup_id) strip: vec3u, @builtin(local_invocation_index) local: u32) {
  let place = (local / PART) * STEP + local % PART;
  let x = local % 16; // column in the strip
  let y = local / 16; // row
  let vectors = params.depth / 4;
  var sum = 0.0;
  if (HAS_BIAS) {
    let column = min(16 * strip.x + x, params.columns - 1);
    sum = bias[column / 4][column % 4];
  }
  var loaded = load_part(strip, local, 0);
  for (var first = 0u; first < vectors; first += PART) {
    a_part[place] = loaded.a[0];
    a_part[place + 2 * STEP] = loaded.a[1];
    b_part[place] = loaded.b[0];
    b_part[place + 2 * STEP] = loaded.b[1];
    b_part[place + 4 * STEP] = loaded.b[2];
    b_part[place + 6 * STEP] = loaded.b[3];
    b_part[place + 8 * STEP] = loaded.b[4];
    b_part[place + 10 * STEP] = loaded.b[5];
    b_part[place + 12 * STEP] = loaded.b[6];
    b_part[place + 14 * STEP] = loaded.b[7];
    workgroupBarrier();
    loaded = load_part(strip, local, first + PART);
    for (var k = 0u; k < min(PART, vectors - first); k++) {
      let row = a_part[y * STEP + k];
      let column = b_part[x * STEP + k];
      sum = fma(row.x, column.x, sum);
      sum = fma(row.y, column.y, sum);
      sum = fma(row.z, column.z, sum);
      sum = fma(row.w, column.w, sum);
    }
    workgroupBarrier();
  }
  sums[local] = sum;
  workgroupBarrier();
  if (local < 16) {
    let four = 4 * local; // a row's elements are 16, four of them a vector
    finish(
      4 * strip.y + local / 4,
      4 * strip.x + local % 4,
      vec4f(sums[four], sums[four + 1], sums[four + 2], sums[four + 3]),
    );
  }
}

// Beyond an edge it repeats what is there, which goes into no sum that is stored.
fn load_part(strip: vec3u, local: u32, first: u32) -> Loaded {
  let k = min(first + local % PART, params.depth / 4 - 1);
  let row = 4 * strip.y + local / PART;
  let column = 16 * strip.x + local / PART;
  return Loaded(
    array(load_a(row, k), load_a(row + 2, k)),
    array(
      load_b(column, k),
      load_b(column + 2, k),
      load_b(column + 4, k),
      load_b(column + 6, k),
      load_b(column + 8, k),
      load_b(column + 10, k),
      load_b(column + 12, k),
      load_b(column + 14, k),
    ),
  );
}

fn load_a(row: u32, k: u32) -> vec4f {
  return a[params.a_offset / 4 + min(row, params.rows - 1) * (params.a_stride / 4) + k];
}

fn load_b(column: u32, k: u32) -> vec4f {
  return b[params.b_offset / 4 + min(column, params.columns - 1) * (params.b_stride / 4) + k];
}
