/** GPT-2's approximation of GELU. */
export function geluNew(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** x times the distribution function of the standard normal. */
export function geluExact(x: number): number {
  return x * normalDistribution(x);
}

/** By the series of Marsaglia 2004 (doi:10.18637/jss.v011.i04): 1/2 + density * (x + x^3/3 + x^5/15 + ...). */
function normalDistribution(x: number): number {
  if (Math.abs(x) > 9) return x > 0 ? 1 : 0; // off by less than 1e-18
  let sum = x;
  for (let term = x, n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) {
    term *= x * x / n;
    sum += term;
  }
  return 0.5 + sum * Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}
