/**
 * Number of real tokens of a response: up to and including the first stop token, all of them when
 * there is none.
 *
 * Padding is told by this length only, never by a token's id: the pad token may be the stop token.
 *
 * @param ids Sampled tokens of one response; what follows the first stop token is padding.
 * @param stop Ids that end a response.
 */
export function responseLength(ids: ArrayLike<number>, stop: readonly number[]): number {
  const first = Array.from(ids).findIndex((id) => stop.includes(id));
  return first < 0 ? ids.length : first + 1;
}

/** Whether a response was ended by a stop token, not by the limit on its length. */
export function endedByStop(ids: ArrayLike<number>, stop: readonly number[]): boolean {
  return Array.from(ids).some((id) => stop.includes(id));
}

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
