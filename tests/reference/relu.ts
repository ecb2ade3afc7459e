/** The rectifier, in f64. */
export function relu(x: number): number {
  return Math.max(x, 0);
}

/** Its slope, 0 at 0. */
export function reluDerivative(x: number): number {
  return x > 0 ? 1 : 0;
}
