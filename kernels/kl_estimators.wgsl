// What a log-ratio d = log p - log q says about KL(p || q); appended after a kernel's own code.

// exp(-d) - 1 + d where |d| is below SERIES, to seven digits: the plain formula loses them to cancellation.
const SERIES = 0.1;
fn excess_series(d: f32) -> f32 {
  return d * d * (0.5 - d * (1.0 / 6.0 - d * (1.0 / 24.0 - d * (1.0 / 120.0 - d * (1.0 / 720.0)))));
}

override KL_TERM: u32 = 0; // index in KL_ESTIMATORS of kl.ts

// The estimate from one sampled token.
fn kl_estimate(d: f32) -> f32 {
  switch (KL_TERM) {
    case 0: { return d; }
    case 1: { return 0.5 * d * d; }
    case 2: { return select(exp(min(-d, 20.0)) - 1.0 + d, excess_series(d), abs(d) < SERIES); }
    default: { return abs(d); }
  }
}

// Its derivative with respect to log p.
fn kl_estimate_slope(d: f32) -> f32 {
  switch (KL_TERM) {
    case 0: { return 1.0; }
    case 1: { return d; }
    case 2: { return 1.0 - exp(min(-d, 20.0)); }
    default: { return sign(d); }
  }
}
