import type { Checkpoint } from "./checkpoint.ts";
import { CheckpointError } from "./checkpoint_error.ts";
import { hashTexts } from "./identity.ts";
import { PromptBatches } from "./prompts.ts";
import type { TrainerState } from "./trainer_state.ts";

/** How far a run is in its prompts: the same prompts go on where they were, others begin anew. */
export class PromptPlace {
  #current: { prompts: readonly string[]; sequence: PromptBatches; sha256: string } | undefined;

  constructor(readonly options: { batchSize: number; seed: number }) {}

  /**
   * The sequence of these prompts, at the place where training is.
   *
   * @param resumed The checkpoint that the run goes on from, until it has begun to.
   * @throws {CheckpointError} If that run began with other prompts.
   */
  of(prompts: readonly string[], resumed: Checkpoint | undefined): PromptBatches {
    if (this.#current?.prompts === prompts) return this.#current.sequence;
    const sha256 = hashTexts(prompts);
    const position = resumed?.state.prompts;
    if (position && position.sha256 !== sha256) {
      throw new CheckpointError("the prompts are not those that the run began with", {
        folder: resumed.folder,
        remedy: "give the same prompts, or begin a new run with the checkpoint as --model",
      });
    }
    const { batchSize, seed } = this.options;
    const sequence = new PromptBatches(prompts, { batchSize, seed, ...(position && { position }) });
    this.#current = { prompts, sequence, sha256 };
    return sequence;
  }

  /** The next prompts are looked for in a checkpoint again. */
  forget(): void {
    this.#current = undefined;
  }

  /** What a checkpoint keeps; undefined where no prompts were taken. */
  state(): TrainerState["prompts"] | undefined {
    return this.#current && { sha256: this.#current.sha256, ...this.#current.sequence.position };
  }
}
