import { ShapeError } from "./errors.ts";

/** Element types that kernels know; each is four bytes. */
export type Dtype = "f32" | "u32";

/** One GPU allocation, shared by every {@linkcode Tensor} that views it. */
export interface Storage {
  /** Unique in its Gpu, never used again after `free`. */
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  freed: boolean;
  /** How many passes had been submitted when it was last written or recorded into a pass. */
  usedAt: number;
}

/** The typed array on the host that holds a tensor of type `D`. */
export type HostArray<D extends Dtype> = D extends "f32" ? Float32Array<ArrayBuffer>
  : Uint32Array<ArrayBuffer>;

/**
 * A thin handle on GPU memory: a storage, an offset, a shape. Row-major, the last axis contiguous.
 *
 * Handles are free to make and need no disposal; the storage is released by `gpu.free(tensor)` on the
 * tensor that `gpu.empty` or `gpu.tensor` returned.
 */
export class Tensor<D extends Dtype = "f32"> {
  /** Number of elements. */
  readonly size: number;

  /**
   * A view of a storage; `gpu.empty` and `gpu.tensor` make one of new memory.
   *
   * @param offset Where the first element lies, in bytes from the start of the storage.
   * @param rowStride Elements from one row of the last axis to the next; more than the last axis only in a
   *   {@linkcode columns} view, which matmul and the row-wise loss kernels accept and others refuse.
   */
  constructor(
    /** @internal */
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly dtype: D,
    readonly rowStride: number = shape.at(-1) ?? 1,
  ) {
    this.size = sizeOf(shape);
  }

  /** Length of the last axis. */
  get columnCount(): number {
    return this.shape.at(-1) ?? 1;
  }

  /** Product of every axis but the last. */
  get rowCount(): number {
    return this.size / this.columnCount;
  }

  /** Whether rows follow each other without a gap. */
  get contiguous(): boolean {
    return this.rowStride === this.columnCount;
  }

  /** Bytes from the first element to the end of the last. */
  get bytes(): number {
    return 4 * ((this.rowCount - 1) * this.rowStride + this.columnCount);
  }

  /** The same elements under another shape of equal size. */
  view(shape: readonly number[]): Tensor<D> {
    if (sizeOf(shape) !== this.size || !this.contiguous) {
      throw new ShapeError(
        `Cannot view a tensor of shape ${show(this.shape)} as ${show(shape)}: the sizes differ`,
      );
    }
    return new Tensor(this.storage, this.offset, shape, this.dtype);
  }

  /** Rows `from` to `to` (exclusive) of the first axis; shares memory. */
  rows(from: number, to: number): Tensor<D> {
    const [first = 1, ...rest] = this.shape;
    if (from < 0 || to > first || from >= to || !this.contiguous) {
      throw new ShapeError(
        `Cannot take rows ${from} to ${to} of a tensor of shape ${show(this.shape)}`,
      );
    }
    const offset = this.offset + 4 * from * sizeOf(rest);
    return new Tensor(this.storage, offset, [to - from, ...rest], this.dtype);
  }

  /** Columns `from` to `to` (exclusive) of the last axis; shares memory and keeps the row stride. */
  columns(from: number, to: number): Tensor<D> {
    if (from < 0 || to > this.columnCount || from >= to) {
      throw new ShapeError(
        `Cannot take columns ${from} to ${to} of a tensor of shape ${show(this.shape)}`,
      );
    }
    const shape = [...this.shape.slice(0, -1), to - from];
    return new Tensor(this.storage, this.offset + 4 * from, shape, this.dtype, this.rowStride);
  }
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** A shape as error messages show it: `(2, 3)`. */
export function show(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}

/**
 * Checks the shape of a kernel's argument.
 *
 * @throws {ShapeError} Naming the operation, the tensor, and both shapes.
 */
export function expectShape(
  operation: string,
  name: string,
  tensor: Tensor<Dtype>,
  expected: readonly number[],
): void {
  const equal = tensor.shape.length === expected.length &&
    tensor.shape.every((length, axis) => length === expected[axis]);
  if (!equal) {
    throw new ShapeError(
      `Cannot run ${operation}: ${name} must be ${show(expected)}, current shape is ${
        show(tensor.shape)
      }`,
    );
  }
}

/**
 * Checks the number of elements where the axes do not matter.
 *
 * @throws {ShapeError} Naming the operation, the tensor, and both sizes.
 */
export function expectSize(
  operation: string,
  name: string,
  tensor: Tensor<Dtype>,
  expected: number,
): void {
  if (tensor.size !== expected) {
    throw new ShapeError(
      `Cannot run ${operation}: ${name} must have ${expected} elements, current shape is ${
        show(tensor.shape)
      }`,
    );
  }
}
