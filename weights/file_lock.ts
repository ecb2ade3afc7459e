import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";

/** Between two looks at a lock that another process holds, in ms. */
const POLL_MS = 200;

/**
 * Runs `action` while no other process, and nothing else in this one, holds the lock file at `path`.
 *
 * The lock is the operating system's (`flock`, as Python's `filelock` takes it), so it goes with the process that
 * holds it and cannot be left behind. The file stays: to remove it would let two waiting processes lock two files of
 * one name. Makes the folders above it where they are missing.
 *
 * @param options.onWait Called once, where the lock is held by someone else.
 * @param options.signal Ends the wait.
 */
export async function withFileLock<T>(
  path: string,
  action: () => Promise<T>,
  { onWait, signal }: { onWait: () => void; signal: AbortSignal },
): Promise<T> {
  await Deno.mkdir(dirname(path), { recursive: true });
  using file = await Deno.open(path, { write: true, create: true }); // closing it releases the lock
  if (!await file.tryLock(true)) {
    onWait();
    do await setTimeout(POLL_MS, undefined, { signal }); while (!await file.tryLock(true));
  }
  return await action();
}
