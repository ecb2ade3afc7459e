// GELU and its derivatives, scalar; appended to the kernels that use them.
//
// gelu_new is the tanh approximation that GPT-2 was trained with (Hendrycks & Gimpel 2016, section 2);
// gelu_exact is x * Phi(x), which DistilBERT uses.

const SQRT_2_OVER_PI: f32 = 0.7978845608;
const SQRT_1_OVER_2: f32 = 0.7071067812;
const SQRT_1_OVER_2PI: f32 = 0.3989422804;
const CUBIC: f32 = 0.044715;

fn gelu_new(x: f32) -> f32 {
  return select(x * gelu_gate(x), 0.0, x < -10.0); // the gate is near zero there, not zero
}

fn gelu_new_derivative(x: f32) -> f32 {
  let near = bounded(x, 10.0);
  let gate = gelu_gate(x);
  let slope = 2.0 * SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * near * near);
  return gate + near * gate * gelu_gate(-x) * slope; // 1 - gate would cancel where gate is near 1
}

fn gelu_exact(x: f32) -> f32 {
  return 0.5 * x * (1.0 + erf(x * SQRT_1_OVER_2));
}

fn gelu_exact_derivative(x: f32) -> f32 {
  let near = bounded(x, 20.0); // the density is zero in f32 beyond
  let density = SQRT_1_OVER_2PI * exp(-0.5 * near * near);
  return 0.5 * (1.0 + erf(x * SQRT_1_OVER_2)) + near * density;
}

// x between -limit and limit; a NaN stays one, where clamp() may lose it.
fn bounded(x: f32, limit: f32) -> f32 {
  return select(x, limit * sign(x), abs(x) > limit);
}

// (1 + tanh(u)) / 2 written as 1 / (1 + exp(-2u)), which keeps its digits where tanh(u) is near -1.
// Beyond |x| = 10 it is 1e-38 or 1, and exp(-2u) would overflow soon after. Of NaN it is some number.
fn gelu_gate(x: f32) -> f32 {
  let near = clamp(x, -10.0, 10.0);
  let u = SQRT_2_OVER_PI * (near + CUBIC * near * near * near);
  return 1.0 / (1.0 + exp(-2.0 * u));
}

// Error function, absolute error below 2e-7: minimax polynomials by N. Juffa
// (https://stackoverflow.com/a/35148199), of erf(x) - x near zero and of log(1 - erf(|x|)) + |x| beyond.
fn erf(x: f32) -> f32 {
  let t = min(abs(x), 4.0); // erf(4) is 1 in f32
  let s = t * t;
  if (t <= 0.927734375) {
    var p = -5.96761703e-4;
    p = fma(p, s, 4.99119423e-3);
    p = fma(p, s, -2.67681349e-2);
    p = fma(p, s, 1.12819925e-1);
    p = fma(p, s, -3.76125336e-1);
    p = fma(p, s, 1.28379166e-1);
    return fma(p, x, x);
  }
  var p = fma(-1.72853470e-5, t, 3.83197126e-4);
  p = fma(p, s, fma(-3.88396438e-3, t, 2.42546219e-2));
  p = fma(p, t, -1.06777877e-1);
  p = fma(p, t, -6.34846687e-1);
  p = fma(p, t, -1.28717512e-1);
  p = fma(p, t, -t);
  return sign(x) * (1.0 - exp(p));
}
