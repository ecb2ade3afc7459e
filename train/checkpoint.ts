/**
 * Checkpoints: a model folder that `transformers` loads, or PEFT where adapters are trained, and beside the model's
 * files what training goes on from.
 *
 * `trainer_state.json` has the counters, the random numbers and the settings, `optimizer.safetensors` both
 * moments of AdamW. Together a checkpoint takes 12 bytes a trained parameter, three times those of the model alone.
 */

import { join } from "node:path";
import { readInTurn } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { writeFileAtomic, writeFolderAtomic } from "../weights/atomic.ts";
import { ModelFolderError, SafetensorsError } from "../weights/errors.ts";
import { holdsAdapters, openAdapterFolder, openModelFolder } from "../weights/folder.ts";
import { openSafetensors, writeSafetensors } from "../weights/safetensors.ts";
import { CheckpointError } from "./checkpoint_error.ts";
import type { AdamW } from "./optimizer.ts";
import { isSystemError, systemProblem } from "./system_error.ts";
import { formatTrainerState, parseTrainerState, type TrainerState } from "./trainer_state.ts";

const STATE = "trainer_state.json";
const MOMENTS = "optimizer.safetensors";

/** A checkpoint whose files are all there; see {@linkcode openCheckpoint}. */
export interface Checkpoint {
  /** Path of the checkpoint. */
  folder: string;
  /** What its trainer_state.json says. */
  state: TrainerState;
}

/**
 * Writes a checkpoint, which appears whole or not at all; what was there stays when writing fails.
 *
 * @throws {CheckpointError} If the file system does not take it: full, read-only, gone.
 */
export async function writeCheckpoint(
  folder: string,
  { policy, optimizer, state, card }: {
    policy: CausalLM;
    optimizer: AdamW;
    state: Parameters<typeof formatTrainerState>[0];
    card?: string;
  },
): Promise<void> {
  try {
    await writeFolderAtomic(folder, async (temporary) => {
      await policy.savePretrained(temporary, { card });
      await writeMoments(join(temporary, MOMENTS), optimizer);
      await writeFileAtomic(join(temporary, STATE), formatTrainerState(state));
    });
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new CheckpointError(systemProblem(cause), { folder, action: "write", cause }); // the path is a temporary one
  }
}

/**
 * Opens a checkpoint and checks that everything it needs is there; reads no parameters yet.
 *
 * @throws {CheckpointError} If it was saved for inference only, a file is missing, cut off or broken, or the
 * format's version is another.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  try {
    const open = await holdsAdapters(folder) ? openAdapterFolder : openModelFolder;
    using model = await open(folder);
    if (!model.files.includes(STATE)) {
      throw new CheckpointError(
        `it has no ${STATE}: it is a model without the state of a training`,
        {
          folder,
          remedy: "begin a new run with it as --model",
        },
      );
    }
    const state = parseTrainerState(await model.readFile(STATE), folder);
    (await openSafetensors(join(folder, MOMENTS))).close();
    return { folder, state };
  } catch (cause) {
    throw unusable(folder, cause);
  }
}

/**
 * Overwrites the moments and counters of an optimizer with those of a checkpoint.
 *
 * @throws {CheckpointError} If they are broken, or those of other parameters.
 */
export async function restoreOptimizer(
  { folder, state }: Checkpoint,
  optimizer: AdamW,
): Promise<void> {
  const { gpu } = optimizer;
  try {
    using file = await openSafetensors(join(folder, MOMENTS));
    for (const { name, shape, tensor } of moments(optimizer)) {
      const stored = file.tensors.get(name);
      if (stored?.shape.join() !== shape.join()) {
        const problem = stored ? `of the shape [${stored.shape}]` : "missing";
        throw new CheckpointError(
          `the tensor ${
            JSON.stringify(name)
          } of ${MOMENTS} is ${problem}, the policy takes [${shape}]`,
          { folder },
        );
      }
      gpu.write(tensor, await file.read(name));
      gpu.flush();
    }
  } catch (cause) {
    throw unusable(folder, cause);
  }
  gpu.write(optimizer.state, state.optimizer);
}

function writeMoments(path: string, optimizer: AdamW): Promise<void> {
  const list = moments(optimizer);
  const read = readInTurn(optimizer.gpu, list.map(({ tensor }) => tensor));
  return writeSafetensors(
    path,
    list.map(({ name, shape }, i) => ({ name, shape, data: read[i] })),
  );
}

/** Both moments of every parameter that is trained: `m.wte.weight`, `v.wte.weight`, ... */
function moments({ m, v }: AdamW) {
  return Object.entries({ m, v }).flatMap(([moment, tensors]) =>
    tensors.layout.specs.map(({ name, shape }) => ({
      name: `${moment}.${name}`,
      shape,
      tensor: tensors.get(name),
    }))
  );
}

/** One type of error for whatever is wrong with a checkpoint; a defect of the program stays what it is. */
function unusable(folder: string, cause: unknown): unknown {
  if (cause instanceof Deno.errors.NotFound) {
    return new CheckpointError(`its ${MOMENTS} is missing`, { folder, cause });
  }
  const known = cause instanceof SafetensorsError || cause instanceof ModelFolderError ||
    isSystemError(cause);
  if (!known) return cause;
  const problem = cause.message.replaceAll(`${folder}/`, "").replace(/^C/, "c");
  return new CheckpointError(problem, { folder, cause });
}
