import scalars from "./elements_1.wgsl" with { type: "text" };
import vectors from "./elements_4.wgsl" with { type: "text" };
import { type Dtype, ShapeError, show, type Tensor } from "./runtime/mod.ts";

/** Columns that a kernel takes at a time: rows a multiple of four long are read as `vec4f`. */
export type Width = 1 | 4;

/**
 * A kernel text written over the type `Element`, as the two kernels that it stands for.
 *
 * @param make Makes the kernel; appends the given WGSL, which defines `Element`, to its code.
 */
export function byWidth<K>(make: (elements: string) => K): Readonly<Record<Width, K>> {
  return { 1: make(scalars), 4: make(vectors) };
}

/**
 * The (N, C) that all these tensors have in common once their leading axes are flattened, with the width in
 * which their rows can be read.
 *
 * @throws {ShapeError} If one has other rows than the first, or is not contiguous.
 */
export function rowsOf(
  operation: string,
  tensors: Readonly<Record<string, Tensor<Dtype>>>,
): { N: number; C: number; width: Width } {
  const [[first, { rowCount: N, columnCount: C }]] = Object.entries(tensors);
  for (const [name, tensor] of Object.entries(tensors)) {
    const { shape, rowCount, columnCount } = tensor;
    expectContiguous(operation, name, tensor);
    if (rowCount !== N || columnCount !== C) {
      throw new ShapeError(
        `Cannot run ${operation}: ${name} must have the rows of ${first}, ${show([N, C])}, ` +
          `current shape is ${show(shape)}`,
      );
    }
  }
  return { N, C, width: C % 4 === 0 ? 4 : 1 };
}

/**
 * Checks a tensor with any number of contiguous rows of length C.
 *
 * @throws {ShapeError} Naming the operation, the tensor and the lengths.
 */
export function expectRows(
  operation: string,
  name: string,
  tensor: Tensor<Dtype>,
  C: number,
): void {
  expectContiguous(operation, name, tensor);
  if (tensor.columnCount !== C) {
    throw new ShapeError(
      `Cannot run ${operation}: ${name} must have rows of length ${C}, ` +
        `current shape is ${show(tensor.shape)}`,
    );
  }
}

function expectContiguous(operation: string, name: string, tensor: Tensor<Dtype>): void {
  if (!tensor.contiguous) {
    throw new ShapeError(
      `Cannot run ${operation}: ${name} ${show(tensor.shape)} has gaps between its rows; ` +
        "copy it first",
    );
  }
}
