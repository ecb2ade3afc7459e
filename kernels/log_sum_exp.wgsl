// Log-sum-exp of a row of `logits` in one pass, safe for any finite numbers; appended after the code of a kernel
// that has a binding of this name, before common.wgsl.
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

// The same mass seen from a peak that is not lower.
fn lowered(mass: Mass, peak: f32) -> Mass {
  let below = mass.peak - peak;
  let decay = exp(below);
  return Mass(peak, mass.total * decay, (mass.moment + mass.total * below) * decay);
}

// Columns that a lane sums before it adds them to its total: one long sum would swallow its small terms.
const BLOCK = 64u;

// The mass of `columns` logits from index `start`, divided by `temperature`; the same bits in every lane.
// Every lane must call it.
fn row_mass(lane: u32, start: u32, columns: u32, temperature: f32) -> Mass {
  var mass = no_mass();
  for (var first = lane; first < columns; first += BLOCK * WORKGROUP_SIZE) {
    var block = no_mass();
    let end = min(columns, first + BLOCK * WORKGROUP_SIZE);
    for (var v = first; v < end; v += WORKGROUP_SIZE) {
      block = absorb(block, logits[start + v] / temperature);
    }
    let peak = max(mass.peak, block.peak);
    mass = lowered(mass, peak);
    block = lowered(block, peak);
    mass.total += block.total;
    mass.moment += block.moment;
  }
  mass = lowered(mass, workgroup_max(lane, mass.peak));
  return Mass(mass.peak, workgroup_sum(lane, mass.total), workgroup_sum(lane, mass.moment));
}

fn log_sum_exp(mass: Mass) -> f32 {
  return mass.peak + log(mass.total);
}
