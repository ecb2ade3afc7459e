/**
 * The three ways in which checkpoints store floating-point numbers, and 32-bit floats. A bfloat16 is
 * the upper half of a 32-bit float; a half is IEEE 754's binary16.
 */

/** A type of floating-point numbers that is read and written, as safetensors names it. */
export type FloatType = "F32" | "F16" | "BF16";

/** Finite 32-bit floats of this size or more round to infinity: half a step above the largest number. */
const OVERFLOWS_AT: Readonly<Record<FloatType, number>> = {
  F32: Infinity,
  F16: 65520,
  BF16: 2 ** 128 - 2 ** 119,
};

/** Whether numbers of this type can be read and written. */
export function isFloatType(dtype: string): dtype is FloatType {
  return Object.hasOwn(OVERFLOWS_AT, dtype);
}

/**
 * Turns stored numbers into 32-bit floats, which hold each of them exactly.
 *
 * @param stored The bytes of `out.length` numbers, from the beginning of their buffer or at an
 * offset that is a multiple of four.
 * @param out Overwritten.
 */
export function decodeFloats(
  stored: Uint8Array<ArrayBuffer>,
  dtype: FloatType,
  out: Float32Array<ArrayBuffer>,
): void {
  const { buffer, byteOffset } = stored;
  switch (dtype) {
    case "F32":
      return out.set(new Float32Array(buffer, byteOffset, out.length));
    case "F16":
      return out.set(new Float16Array(buffer, byteOffset, out.length));
    case "BF16": {
      const halves = new Uint16Array(buffer, byteOffset, out.length);
      const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
      for (let i = 0; i < bits.length; i++) bits[i] = halves[i] << 16;
    }
  }
}

/**
 * Turns 32-bit floats into stored numbers, rounded to the nearest and from the middle to the even
 * one; finite numbers that {@linkcode firstOverflow} finds become infinite.
 *
 * @returns The bytes; for F32 a view on `data`.
 */
export function encodeFloats(data: Float32Array, dtype: FloatType): Uint8Array {
  const stored = dtype === "F32"
    ? data
    : dtype === "F16"
    ? new Float16Array(data)
    : toBfloat16(data);
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}

/** Index of the first finite number that `dtype` cannot hold; -1 where it holds all. */
export function firstOverflow(data: Float32Array, dtype: FloatType): number {
  const limit = OVERFLOWS_AT[dtype];
  for (let i = 0; limit < Infinity && i < data.length; i++) {
    const size = Math.abs(data[i]);
    if (size >= limit && size < Infinity) return i;
  }
  return -1;
}

function toBfloat16(data: Float32Array): Uint16Array {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  const halves = new Uint16Array(data.length);
  for (let i = 0; i < halves.length; i++) {
    const even = (bits[i] >>> 16) & 1;
    // Rounding could carry a NaN's bits into infinity or zero; all NaN become one.
    halves[i] = Number.isNaN(data[i]) ? 0x7fc0 : (bits[i] + 0x7fff + even) >>> 16;
  }
  return halves;
}
