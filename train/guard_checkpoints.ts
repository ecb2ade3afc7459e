import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { CheckpointError } from "./checkpoint_error.ts";

/** The checkpoints that a run can go back to. */
export class KnownCheckpoints {
  /** Oldest first. */
  #folders: string[] = [];
  /** The one that the run went back to last. */
  #tried: string | undefined;

  /** Adds one that was just written, or that the run was resumed from. */
  add(folder: string): void {
    this.#folders.push(folder);
    this.#tried = undefined;
  }

  /** The newest; it may be gone by now. */
  get newest(): string | undefined {
    return this.#folders.at(-1);
  }

  /**
   * Where to go back to: the newest that is whole. Where the run went back to that already and has saved none since, the
   * one before it, if there is one: what went wrong may have begun before the newest was written.
   */
  async next(): Promise<Checkpoint | undefined> {
    if (this.#tried !== undefined && this.#folders.length > 1) this.#folders.pop();
    for (; this.#folders.length > 0; this.#folders.pop()) {
      try {
        const checkpoint = await openCheckpoint(this.newest!);
        this.#tried = this.newest;
        return checkpoint;
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error; // pruned, or broken: an older one will do
      }
    }
    return undefined;
  }
}
