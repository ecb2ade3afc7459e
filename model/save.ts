/** A model as a folder that `transformers` loads. */

import { join } from "node:path";
import { writeFileAtomic, writeFolderAtomic } from "../weights/atomic.ts";
import type { FloatType } from "../weights/floats.ts";
import type { TensorToWrite } from "../weights/safetensors.ts";
import { MODEL_FILE, writeWeights } from "../weights/weights.ts";

/** How numbers may be stored, as torch and `config.json` name it. */
export const SAVE_DTYPES = ["float32", "float16", "bfloat16"] as const;

/** One of {@linkcode SAVE_DTYPES}. */
export type SaveDtype = typeof SAVE_DTYPES[number];

/** How a model is saved. */
export interface SaveOptions {
  /** How numbers are stored (default `float32`); the 16-bit types round to the nearest. */
  dtype?: SaveDtype | undefined;
  /** Most bytes of numbers in one file (default 50e9, as transformers); more go into several with an index. */
  maxShardBytes?: number | undefined;
  /** The model card, for `README.md`; without one, a `README.md` that is there is kept. */
  card?: string | undefined;
}

const FLOAT_TYPES: Readonly<Record<SaveDtype, FloatType>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
};

/**
 * Writes a model folder, which appears whole or not at all; other files that are in it already are kept.
 *
 * @param model.config `config.json`, with a `dtype` that is replaced.
 * @param model.files The content of the other files by name: tokenizer, generation settings.
 * @throws {SafetensorsError} If a finite number is too large for the dtype.
 * @throws {RangeError} If an option is impossible.
 */
export async function writeModelFolder(
  path: string,
  { config, files, tensors }: {
    config: Readonly<Record<string, unknown>>;
    files: Readonly<Record<string, Uint8Array | string>>;
    tensors: readonly TensorToWrite[];
  },
  { dtype = "float32", maxShardBytes, card }: SaveOptions = {},
): Promise<void> {
  checkOptions(dtype, maxShardBytes);
  const write = async (folder: string) => {
    const all = {
      "config.json": JSON.stringify({ ...config, dtype }, null, 2) + "\n",
      ...files,
      ...(card !== undefined && { "README.md": card }),
    };
    for (const [name, content] of Object.entries(all)) {
      await writeFileAtomic(join(folder, name), content);
    }
    await writeWeights(folder, tensors, { dtype: FLOAT_TYPES[dtype], maxShardBytes });
  };
  await writeFolderAtomic(path, write, { outdated: MODEL_FILE });
}

function checkOptions(dtype: string, maxShardBytes: number | undefined): void {
  if (!Object.hasOwn(FLOAT_TYPES, dtype)) {
    const allowed = Object.keys(FLOAT_TYPES).join(", ");
    throw new RangeError(`Cannot save as ${dtype}: the dtypes are ${allowed}; use one of them`);
  }
  if (maxShardBytes !== undefined && !(maxShardBytes > 0)) {
    throw new RangeError(
      `Cannot save in files of ${maxShardBytes} bytes: maxShardBytes must be above 0; raise it`,
    );
  }
}
