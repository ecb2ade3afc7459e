/**
 * The header of the safetensors format, both ways; nothing about files or models.
 *
 * A file is eight bytes with the header's length (u64, little endian), the header (JSON: for each
 * tensor its dtype, shape and place), and the numbers, row-major and little endian. The layout
 * rules are those of the reference implementation (huggingface/safetensors, `tensor.rs`).
 */

import { type JsonError, SafetensorsError } from "./errors.ts";
import { isObject, parseJson, showJson } from "./json.ts";

/** Bytes per number of every type the format names. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
} as const;

/** How a tensor's numbers are stored. */
export type Dtype = keyof typeof DTYPE_BYTES;

/** What the header says of one tensor. */
export interface TensorInfo {
  readonly dtype: Dtype;
  /** Row-major, last axis contiguous; empty for a single number. */
  readonly shape: readonly number[];
  /** Where its bytes begin, counted from the beginning of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The header of a safetensors file, checked. */
export interface SafetensorsHeader {
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The free-form `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes of the header's length, which a file begins with. */
export const PREFIX_BYTES = 8;

/** A longer header is refused, as the reference implementation does. */
const MAX_HEADER_BYTES = 100_000_000;

const METADATA_KEY = "__metadata__";

/**
 * Checks and reads a header.
 *
 * @param bytes The file from its beginning, at least to the end of the header.
 * @param fileSize Bytes of the whole file, which the tensors must fill exactly.
 * @param file The name for error messages.
 * @throws {SafetensorsError} If anything breaks the format: a length outside the file, a header
 * that is not a JSON object or has a key twice, an unknown dtype, a shape or offset that is not
 * made of whole numbers, bytes that do not fit dtype and shape, a gap, an overlap, or an end that
 * is not the end of the file.
 */
export function parseSafetensorsHeader(
  bytes: Uint8Array,
  fileSize: number,
  file = "safetensors data",
): SafetensorsHeader {
  const length = headerLength(bytes, fileSize, file);
  const dataStart = PREFIX_BYTES + length;
  if (bytes.length < dataStart) {
    throw invalid(file, `only ${bytes.length} of the header's ${dataStart} bytes were given`);
  }
  const entries = parseHeaderJson(bytes.subarray(PREFIX_BYTES, dataStart), file);

  const metadata = parseMetadata(entries.get(METADATA_KEY), file);
  entries.delete(METADATA_KEY);

  const tensors = [...entries].map(([name, entry]) =>
    [name, parseEntry({ name, entry, dataStart, file })] as const
  );
  tensors.sort(([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);
  checkLayout(tensors, { dataStart, fileSize, file });
  return { tensors: new Map(tensors), metadata };
}

/**
 * Lays out tensors of one dtype one after another, in the order given, and writes the header that
 * says so: length, JSON, and spaces up to a multiple of eight bytes so that the numbers are aligned.
 *
 * @param options.file The name for error messages.
 * @throws {SafetensorsError} If a name is used twice or is `__metadata__`, or a shape is not made
 * of whole numbers.
 */
export function encodeSafetensorsHeader(
  tensors: Iterable<{ name: string; shape: readonly number[] }>,
  { dtype, metadata, file }: {
    dtype: Dtype;
    metadata: Readonly<Record<string, string>>;
    file: string;
  },
): Uint8Array<ArrayBuffer> {
  // Joined by hand, since an object would put names such as "10" first.
  const entries = new Map([[METADATA_KEY, JSON.stringify(metadata)]]);
  let end = 0;
  for (const { name, shape } of tensors) {
    if (entries.has(name)) {
      throw unwritable(file, name, "its name is taken; give every tensor its own name");
    }
    if (!isSizes(shape)) {
      throw unwritable(file, name, `its shape is [${shape}]; give sizes as whole numbers`);
    }
    const begin = end;
    end += shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
    entries.set(name, JSON.stringify({ dtype, shape, data_offsets: [begin, end] }));
  }
  const members = Array.from(entries, ([name, entry]) => `${JSON.stringify(name)}:${entry}`);
  const json = new TextEncoder().encode(`{${members.join(",")}}`);

  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(PREFIX_BYTES + length).fill(" ".charCodeAt(0));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, PREFIX_BYTES);
  return bytes;
}

/**
 * Reads the header's length from the first eight bytes of a file. The header is then inside the
 * file, and small enough to allocate.
 *
 * @throws {SafetensorsError} If there are fewer than eight bytes, or the length is impossible.
 */
export function headerLength(bytes: Uint8Array, fileSize: number, file: string): number {
  if (bytes.length < PREFIX_BYTES) {
    throw invalid(file, `it is cut off after ${bytes.length} bytes, inside the header's length`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = view.getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw invalid(file, `its header would take ${length} bytes, more than ${MAX_HEADER_BYTES}`);
  }
  if (PREFIX_BYTES + Number(length) > fileSize) {
    throw invalid(
      file,
      `it is cut off inside the header, which takes ${length} bytes of a file of ${fileSize}`,
    );
  }
  return Number(length);
}

function parseHeaderJson(bytes: Uint8Array, file: string): Map<string, unknown> {
  let header: unknown;
  try {
    header = parseJson(bytes);
  } catch (error) {
    const problem = `its header cannot be parsed (${(error as JsonError).message})`;
    throw invalid(file, problem, { cause: error });
  }
  if (!isObject(header)) throw invalid(file, "its header is not a JSON object");
  return new Map(Object.entries(header));
}

function parseMetadata(metadata: unknown, file: string): Record<string, string> {
  if (metadata === undefined) return {};
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string")) {
    throw invalid(file, `its ${METADATA_KEY} is not an object of strings`);
  }
  return metadata as Record<string, string>;
}

function parseEntry(
  { name: tensor, entry, dataStart, file }: {
    name: string;
    entry: unknown;
    dataStart: number;
    file: string;
  },
): TensorInfo {
  const fail = (problem: string) =>
    invalid(file, `tensor ${showJson(tensor)} ${problem}`, { tensor });

  if (!isObject(entry)) throw fail("is not described by an object");
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype)) throw fail(`has the unknown dtype ${showJson(dtype)}`);
  if (!isSizes(shape)) throw fail("has a shape that is not a list of whole numbers");
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail("has data_offsets that are not two whole numbers");
  }
  const [begin, end] = offsets as [number, number];
  const byteLength = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
  if (end - begin !== byteLength) {
    const needs = `${dtype} ${showJson(shape)} takes ${byteLength}`;
    throw fail(`has ${end - begin} bytes by its data_offsets, but ${needs}`);
  }
  return { dtype, shape, byteOffset: dataStart + begin, byteLength };
}

/** Tensors, sorted by offset, must follow each other from the header's to the file's end. */
function checkLayout(
  tensors: (readonly [string, TensorInfo])[],
  { dataStart, fileSize, file }: { dataStart: number; fileSize: number; file: string },
): void {
  let end = dataStart;
  for (const [tensor, { byteOffset, byteLength }] of tensors) {
    const name = showJson(tensor);
    if (byteOffset > end) {
      throw invalid(file, `${byteOffset - end} unused bytes precede tensor ${name}`, { tensor });
    }
    if (byteOffset < end) {
      const shared = `${end - byteOffset} bytes with the one before it`;
      throw invalid(file, `tensor ${name} shares ${shared}`, { tensor });
    }
    end += byteLength;
  }
  if (end > fileSize) {
    throw invalid(file, `it is cut off: its tensors end at byte ${end}, the file at ${fileSize}`);
  }
  if (end < fileSize) {
    throw invalid(file, `${fileSize - end} bytes follow its last tensor`);
  }
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(DTYPE_BYTES, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function invalid(
  file: string,
  problem: string,
  details?: { tensor?: string; cause?: unknown },
): SafetensorsError {
  const message = `Cannot read ${file}: ${problem}; download or save the file again`;
  return new SafetensorsError(message, { file, ...details });
}

/** The error of a tensor that cannot be written. */
export function unwritable(file: string, tensor: string, problem: string): SafetensorsError {
  const message = `Cannot write tensor ${showJson(tensor)} to ${file}: ${problem}`;
  return new SafetensorsError(message, { file, tensor });
}
