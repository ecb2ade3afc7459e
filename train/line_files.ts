/** Files with one JSON object a line, as a run appends them. */

/**
 * Cuts a file of JSON lines back: after the last whole line whose `step` is at most `step`, nothing remains.
 *
 * Lines are in the order of their steps. One with `backTo` led to the steps after that one, and counts as the first. Where there is no file, there is nothing to do.
 */
export async function cutLines(path: string, step: number): Promise<void> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const end = endOfStep(bytes, step);
  if (end < bytes.length) await Deno.truncate(path, end);
}

const LINE_FEED = 10;

/** Where the last whole line of `step`, or of one before it, ends; looked for from the end. */
function endOfStep(bytes: Uint8Array, step: number): number {
  const decoder = new TextDecoder();
  let end = bytes.lastIndexOf(LINE_FEED) + 1;
  while (end > 0) {
    const start = end === 1 ? 0 : bytes.lastIndexOf(LINE_FEED, end - 2) + 1;
    if (stepOf(decoder.decode(bytes.subarray(start, end))) <= step) return end;
    end = start;
  }
  return 0;
}

/** The step of a line; of what is not a line of a run, one that never comes. */
function stepOf(line: string): number {
  try {
    const { step, backTo } = Object(JSON.parse(line));
    if (typeof backTo === "number") return backTo + 1;
    return typeof step === "number" ? step : Infinity;
  } catch {
    return Infinity;
  }
}
