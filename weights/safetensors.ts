/**
 * Safetensors files: reads tensors one at a time, writes them in a stream. The format itself is in
 * `safetensors_header.ts`; nothing here knows about models.
 *
 * The numbers go between file and memory as they are: every machine that runs WebGPU is little
 * endian, as the format is.
 */

import { replaceFile, writeAll } from "./atomic.ts";
import { SafetensorsError } from "./errors.ts";
import {
  type Dtype,
  encodeSafetensorsHeader,
  headerLength,
  parseSafetensorsHeader,
  PREFIX_BYTES,
  type SafetensorsHeader,
  type TensorInfo,
  unwritable,
} from "./safetensors_header.ts";

export { type Dtype, parseSafetensorsHeader, type SafetensorsHeader, type TensorInfo };

/** An open safetensors file, whose tensors are read one at a time. */
export class SafetensorsFile implements Disposable, SafetensorsHeader {
  /** Where the file is. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: Deno.FsFile;
  /** Reads share the file's position, so each waits for the one before it. */
  #turn: Promise<unknown> = Promise.resolve();

  /** Takes over `file`; use {@linkcode openSafetensors}. */
  constructor(path: string, file: Deno.FsFile, header: SafetensorsHeader) {
    this.path = path;
    this.#file = file;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /**
   * Reads one tensor as 32-bit floats, row-major.
   *
   * @throws {SafetensorsError} If there is no such tensor, or it is stored in a type other than F32.
   */
  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    const bytes = await this.readBytes(name);
    const { dtype } = this.tensors.get(name)!;
    return toFloat32(bytes, dtype, { file: this.path, tensor: name });
  }

  /**
   * Reads the bytes of one tensor as they are stored.
   *
   * @throws {SafetensorsError} If there is no such tensor, or the file has shrunk since it was opened.
   */
  readBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
    const result = this.#turn.then(async () => {
      const info = this.tensors.get(name);
      if (info === undefined) {
        throw unreadable(this.path, name, "the file has no such tensor; use a complete model file");
      }
      await this.#file.seek(info.byteOffset, Deno.SeekMode.Start);
      const bytes = new Uint8Array(info.byteLength);
      if (await readFull(this.#file, bytes) < bytes.length) {
        throw unreadable(this.path, name, "the file has become shorter; copy it again");
      }
      return bytes;
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a safetensors file and reads its header only.
 *
 * @throws {SafetensorsError} If the file breaks the format, as {@linkcode parseSafetensorsHeader}.
 * @throws {Deno.errors.NotFound} If there is no such file.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await Deno.open(path);
  try {
    const { size } = await file.stat();
    const prefix = new Uint8Array(Math.min(PREFIX_BYTES, size));
    await readFull(file, prefix);
    const bytes = new Uint8Array(PREFIX_BYTES + headerLength(prefix, size, path));
    bytes.set(prefix);
    await readFull(file, bytes.subarray(PREFIX_BYTES));
    return new SafetensorsFile(path, file, parseSafetensorsHeader(bytes, size, path));
  } catch (error) {
    file.close();
    throw error;
  }
}

/** A tensor to be written. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  /** The numbers, row-major; a function is called when its turn comes, and once. */
  readonly data: Float32Array | (() => Float32Array | Promise<Float32Array>);
}

/**
 * Writes tensors as F32 to a safetensors file, in the order given. The file appears whole or, when
 * anything throws, not at all.
 *
 * Only one tensor's numbers need be in memory at a time, where `data` are functions.
 *
 * @param metadata Free-form strings; `transformers` wants the format named.
 * @throws {SafetensorsError} If a name is used twice, or numbers do not fit their shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<void> {
  const list = [...tensors];
  const header = encodeSafetensorsHeader(list, metadata, path);
  await replaceFile(path, async (file) => {
    await writeAll(file, header);
    for (const { name, shape, data: source } of list) {
      const data = typeof source === "function" ? await source() : source;
      const size = shape.reduce((product, length) => product * length, 1);
      if (data.length !== size) {
        const problem = `it has ${data.length} numbers; its shape [${shape}] takes ${size}`;
        throw unwritable(path, name, problem);
      }
      await writeAll(file, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  });
}

/** Turns stored bytes into 32-bit floats: the one place that knows how each type is stored. */
function toFloat32(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: Dtype,
  { file, tensor }: { file: string; tensor: string },
): Float32Array<ArrayBuffer> {
  switch (dtype) {
    case "F32":
      return new Float32Array(bytes.buffer);
    default:
      throw unreadable(file, tensor, `its dtype is ${dtype}; save the model as float32`);
  }
}

/** Fills `bytes` from the file's position; returns how many bytes the file still had. */
async function readFull(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return done;
}

function unreadable(file: string, tensor: string, problem: string): SafetensorsError {
  const message = `Cannot read tensor ${JSON.stringify(tensor)} of ${file}: ${problem}`;
  return new SafetensorsError(message, { file, tensor });
}
