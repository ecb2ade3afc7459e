/** A checkpoint that cannot be resumed from, or cannot be written. */
export class CheckpointError extends Error {
  /** The name of the class. */
  override name = "CheckpointError";
  /** Path of the checkpoint. */
  readonly folder: string;
  /** What is wrong, without what was tried and what to do. */
  readonly problem: string;
  readonly #action: string;

  /** Names the folder, the problem and what to do. */
  constructor(
    problem: string,
    { folder, action = "resume from", remedy, cause }: {
      folder: string;
      /** What cannot be done with the folder. */
      action?: string;
      remedy?: string | undefined;
      cause?: unknown;
    },
  ) {
    const end = remedy === undefined ? "" : `; ${remedy}`;
    super(`Cannot ${action} the checkpoint ${folder}: ${problem}${end}`, { cause });
    this.folder = folder;
    this.problem = problem;
    this.#action = action;
  }

  /** The same with what to do about it. */
  withRemedy(remedy: string): CheckpointError {
    const { folder, cause } = this;
    return new CheckpointError(this.problem, { folder, action: this.#action, remedy, cause });
  }
}
