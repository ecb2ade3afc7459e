import { ShapeError } from "./errors.ts";
import { type Dtype, show, type Tensor } from "./tensor.ts";

/** Rows `from` to `to` (exclusive) of a tensor's first axis. */
export interface RowShard {
  from: number;
  to: number;
}

/**
 * The rows of `tensor`, in order, in as few parts as fit one binding each.
 *
 * @param bindingBytes Most bytes of one part: `gpu.bindingBytes`.
 * @param multiple Every part but the last has a multiple of this many rows; 64 keeps parts of rows, and of
 *   columns where the rows count columns of another tensor, aligned as bindings must be.
 * @throws {ShapeError} If `multiple` rows are larger than one binding.
 */
export function rowShards(
  tensor: Tensor<Dtype>,
  bindingBytes: number,
  multiple = 64,
): RowShard[] {
  const [rows] = tensor.shape;
  if (tensor.bytes <= bindingBytes) return [{ from: 0, to: rows }];
  const rowBytes = 4 * tensor.size / rows;
  const step = Math.floor(bindingBytes / rowBytes / multiple) * multiple;
  if (step === 0) {
    throw new ShapeError(
      `Cannot split ${show(tensor.shape)} into parts of ${bindingBytes} bytes: ` +
        `${multiple} rows have ${multiple * rowBytes}`,
    );
  }
  const shards: RowShard[] = [];
  for (let from = 0; from < rows; from += step) {
    shards.push({ from, to: Math.min(rows, from + step) });
  }
  return shards;
}
