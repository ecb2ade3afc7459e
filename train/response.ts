/**
 * Mask (B, R) of responses that are padded on the right: 1 on the first `lengths[b]` tokens.
 *
 * @throws {RangeError} If a length is not an integer between 0 and R.
 */
export function responseMask(lengths: ArrayLike<number>, R: number): number[][] {
  return Array.from(lengths, (length, b) => {
    if (!Number.isInteger(length) || length < 0 || length > R) {
      throw new RangeError(
        `Cannot mask response ${b}: its length ${length} must be an integer from 0 to ${R}`,
      );
    }
    return Array.from({ length: R }, (_, t) => (t < length ? 1 : 0));
  });
}
