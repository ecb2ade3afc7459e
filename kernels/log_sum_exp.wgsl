// Log-sum-exp of a row in one pass, safe for any finite numbers; appended after a kernel's own code and
// before common.wgsl. Each lane absorbs its share of the row, then the workgroup merges.
//
// Source: Milakov & Gimelshein 2018 (arXiv:1805.02867), algorithm 3, extended by the first moment.

struct Mass {
  peak: f32,    // the largest z
  total: f32,   // sum of exp(z - peak)
  moment: f32,  // sum of exp(z - peak) (z - peak)
}

fn no_mass() -> Mass {
  return Mass(-3.0e38, 0.0, 0.0);
}

// One exp for each z, whether it is the new peak or not.
fn absorb(mass: Mass, z: f32) -> Mass {
  let above = z - mass.peak;
  let decay = exp(-abs(above));
  if (above > 0.0) {
    return Mass(z, mass.total * decay + 1.0, (mass.moment - mass.total * above) * decay);
  }
  return Mass(mass.peak, mass.total + decay, mass.moment + decay * above);
}

// The mass of the whole workgroup, the same bits in every lane. Every lane must call it.
fn workgroup_mass(lane: u32, mass: Mass) -> Mass {
  let peak = workgroup_max(lane, mass.peak);
  let below = mass.peak - peak;
  let decay = exp(below);
  let total = workgroup_sum(lane, mass.total * decay);
  let moment = workgroup_sum(lane, (mass.moment + mass.total * below) * decay);
  return Mass(peak, total, moment);
}

fn log_sum_exp(mass: Mass) -> f32 {
  return mass.peak + log(mass.total);
}
