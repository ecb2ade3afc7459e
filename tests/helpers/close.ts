/** How far two numbers may be apart: `|actual - expected| <= atol + rtol * |expected|`. */
export interface Tolerance {
  atol: number;
  rtol?: number;
}

/**
 * Fails unless every element is close; NaN is close to nothing. Names the worst element.
 */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol, rtol = 0 }: Tolerance,
  name = "values",
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${name}: ${actual.length} elements, expected ${expected.length}`);
  }
  let worst = 0;
  let at = -1;
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) continue; // equal infinities too
    const excess = Math.abs(actual[i] - expected[i]) / (atol + rtol * Math.abs(expected[i]));
    if (!(excess <= worst)) {
      worst = Number.isNaN(excess) ? Infinity : excess;
      at = i;
    }
  }
  if (worst > 1) {
    throw new Error(
      `${name}: element ${at} is ${actual[at]}, expected ${expected[at]}: ` +
        `${worst.toPrecision(3)} times the tolerance (atol ${atol}, rtol ${rtol})`,
    );
  }
}

/** Standard normal numbers from a seed (mulberry32 and Box-Muller), in f32 precision. */
export function randn(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return Float32Array.from(
    { length },
    () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

/**
 * Gradient of a scalar function by central differences, for f64 reference functions only.
 *
 * @param h Step; the error is of order h squared plus 1e-16 / h.
 */
export function numericGradient(
  f: (x: Float64Array) => number,
  x: ArrayLike<number>,
  h = 1e-5,
): Float64Array {
  const at = Float64Array.from(x);
  return Float64Array.from(at, (xi, i) => {
    at[i] = xi + h;
    const above = f(at);
    at[i] = xi - h;
    const below = f(at);
    at[i] = xi;
    return (above - below) / (2 * h);
  });
}
