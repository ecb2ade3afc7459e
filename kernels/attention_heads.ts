import { type Dtype, ShapeError, show, type Tensor } from "./runtime/mod.ts";

/**
 * Channels of one head.
 *
 * @param qkv (..., 3C): queries, keys and values, each with the heads side by side.
 * @throws {ShapeError} If C is not a multiple of `heads`.
 */
export function headSizeOf(operation: string, qkv: Tensor<Dtype>, heads: number): number {
  const headSize = qkv.columnCount / 3 / heads;
  if (!Number.isInteger(headSize)) {
    throw new ShapeError(
      `Cannot run ${operation}: the last axis of qkv must be 3 x ${heads} heads of equal size, ` +
        `current shape is ${show(qkv.shape)}`,
    );
  }
  return headSize;
}

/**
 * How many rows of a head fit into some bytes of workgroup memory: a power of two, at least one.
 *
 * WebGPU promises 16 KiB to a workgroup.
 */
export function headRowsIn(bytes: number, headSize: number): number {
  const rowBytes = 16 * Math.ceil(headSize / 4); // whole vec4s
  return 2 ** Math.max(0, Math.floor(Math.log2(bytes / rowBytes)));
}
