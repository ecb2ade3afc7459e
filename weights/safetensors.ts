/**
 * Safetensors files: reads tensors piece by piece, writes them in a stream. The format itself is in
 * `safetensors_header.ts`; nothing here knows about models.
 *
 * Bytes are not swapped: every machine that runs WebGPU is little endian, as the format is.
 */

import { replaceFile, writeAll } from "./atomic.ts";
import { type ByteSource, FileSource } from "./byte_source.ts";
import { SafetensorsError } from "./errors.ts";
import {
  decodeFloats,
  encodeFloats,
  firstOverflow,
  type FloatType,
  isFloatType,
} from "./floats.ts";
import { showJson } from "./json.ts";
import { expectRegularFile } from "./regular_file.ts";
import {
  type Dtype,
  DTYPE_BYTES,
  encodeSafetensorsHeader,
  headerLength,
  parseSafetensorsHeader,
  PREFIX_BYTES,
  type SafetensorsHeader,
  type TensorInfo,
  unwritable,
} from "./safetensors_header.ts";

export {
  type Dtype,
  type FloatType,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorInfo,
};

/** Most numbers that are read or written at a time: 4 MiB as 32-bit floats. */
export const PIECE = 2 ** 20;

/** An open safetensors file, whose tensors are read one at a time. */
export class SafetensorsFile implements Disposable, SafetensorsHeader {
  /** Where the file is. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly #source: ByteSource;

  /** Takes over `source`; use {@linkcode openSafetensors} or {@linkcode readSafetensors}. */
  constructor(path: string, source: ByteSource, header: SafetensorsHeader) {
    this.path = path;
    this.#source = source;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /**
   * Reads one tensor as 32-bit floats, row-major.
   *
   * @throws {SafetensorsError} As {@linkcode readPieces}.
   */
  async read(name: string): Promise<Float32Array<ArrayBuffer>> {
    const whole = new Float32Array(this.#floats(name).count);
    let done = 0;
    for await (const piece of this.readPieces(name)) {
      whole.set(piece, done);
      done += piece.length;
    }
    return whole;
  }

  /**
   * Reads one tensor as 32-bit floats, row-major, in pieces that follow each other, so that a
   * tensor of any size takes {@linkcode PIECE} numbers of memory.
   *
   * A piece holds its numbers until the next one is asked for.
   *
   * @throws {SafetensorsError} If there is no such tensor, it is stored in a type other than F32,
   * F16 or BF16, or the file has shrunk since it was opened.
   */
  async *readPieces(name: string): AsyncGenerator<Float32Array<ArrayBuffer>> {
    const { dtype, count, byteOffset, numberBytes } = this.#floats(name);
    const piece = new Float32Array(Math.min(PIECE, count));
    const stored = new Uint8Array(piece.length * numberBytes);
    for (let from = 0; from < count; from += PIECE) {
      const length = Math.min(PIECE, count - from);
      const bytes = stored.subarray(0, length * numberBytes);
      if (await this.#source.readAt(byteOffset + from * numberBytes, bytes) < bytes.length) {
        throw unreadable(this.path, name, "the file has become shorter; copy it again");
      }
      const numbers = piece.subarray(0, length);
      decodeFloats(bytes, dtype, numbers);
      yield numbers;
    }
  }

  /** How a tensor's numbers are stored. */
  #floats(name: string) {
    const info = this.tensors.get(name);
    if (info === undefined) {
      throw unreadable(this.path, name, "the file has no such tensor; use a complete model file");
    }
    const { dtype, byteOffset, byteLength } = info;
    if (!isFloatType(dtype)) {
      const problem = `its dtype is ${dtype}; save the model as float32, float16 or bfloat16`;
      throw unreadable(this.path, name, problem);
    }
    const numberBytes = DTYPE_BYTES[dtype];
    return { dtype, byteOffset, numberBytes, count: byteLength / numberBytes };
  }

  /** Closes the file. */
  close(): void {
    this.#source.close();
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
  await expectRegularFile(path);
  return await readSafetensors(await FileSource.open(path), path);
}

/**
 * Reads the header of a safetensors file, wherever its bytes are.
 *
 * @param source Taken over, and closed where this throws.
 * @param path The file's name, for error messages.
 * @throws {SafetensorsError} If the file breaks the format, as {@linkcode parseSafetensorsHeader}.
 */
export async function readSafetensors(source: ByteSource, path: string): Promise<SafetensorsFile> {
  try {
    const { size } = source;
    const prefix = new Uint8Array(Math.min(PREFIX_BYTES, size));
    await source.readAt(0, prefix);
    const bytes = new Uint8Array(PREFIX_BYTES + headerLength(prefix, size, path));
    await source.readAt(0, bytes);
    return new SafetensorsFile(path, source, parseSafetensorsHeader(bytes, size, path));
  } catch (error) {
    source.close();
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

/** How tensors are written. */
export interface WriteOptions {
  /** How numbers are stored (default F32); the other two round. */
  readonly dtype?: FloatType;
  /** Free-form strings; by default the one that `transformers` wants, the format. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes tensors to a safetensors file, in the order given. The file appears whole or, when
 * anything throws, not at all.
 *
 * Only one tensor's numbers need be in memory at a time, where `data` are functions.
 *
 * @throws {SafetensorsError} If a name is used twice, numbers do not fit their shape, or a finite
 * number is too large for the dtype.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  { dtype = "F32", metadata = { format: "pt" } }: WriteOptions = {},
): Promise<void> {
  const list = [...tensors];
  const header = encodeSafetensorsHeader(list, { dtype, metadata, file: path });
  await replaceFile(path, async (file) => {
    await writeAll(file, header);
    for (const { name, shape, data: source } of list) {
      const data = typeof source === "function" ? await source() : source;
      const size = shape.reduce((product, length) => product * length, 1);
      if (data.length !== size) {
        const problem = `it has ${data.length} numbers; its shape [${shape}] takes ${size}`;
        throw unwritable(path, name, problem);
      }
      const overflow = firstOverflow(data, dtype);
      if (overflow >= 0) {
        const problem = `${data[overflow]} is too large for ${dtype}; save as float32`;
        throw unwritable(path, name, problem);
      }
      for (let from = 0; from < size; from += PIECE) {
        await writeAll(file, encodeFloats(data.subarray(from, from + PIECE), dtype));
      }
    }
  });
}

function unreadable(file: string, tensor: string, problem: string): SafetensorsError {
  const message = `Cannot read tensor ${showJson(tensor)} of ${file}: ${problem}`;
  return new SafetensorsError(message, { file, tensor });
}
