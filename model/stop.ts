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
