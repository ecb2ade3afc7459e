/**
 * Runs `action` on every item, at most `limit` at a time.
 *
 * The first error ends all of it: the others see their signal abort, and when all have ended it is thrown.
 *
 * @returns The results, in the order of the items.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  limit: number,
  action: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const stop = new AbortController();
  const results: R[] = [];
  const queue = items.entries();
  const work = async () => {
    for (const [i, item] of queue) {
      if (stop.signal.aborted) return;
      results[i] = await action(item, stop.signal);
    }
  };
  const workers = Array.from({ length: limit }, () => work().catch((error) => stop.abort(error)));
  await Promise.all(workers);
  stop.signal.throwIfAborted();
  return results;
}
