import type { SubmittedPass } from "./pass.ts";

/**
 * Hears of every wait for the GPU, so that a wait without end can be noticed and its kernels named.
 *
 * Deno blocks the thread while it waits: a watcher that is to act in that time must do it on another.
 */
export interface GpuWatcher {
  /**
   * The host may wait for these passes, oldest first: all that were submitted since the last read, or the newest of
   * many. As long as it is the same array, passes are only added to it.
   */
  waitBegins(passes: readonly SubmittedPass[]): void;
  /** The host goes on. */
  waitEnds(): void;
}
