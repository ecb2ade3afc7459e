import { ShapeError } from "../kernels/runtime/errors.ts";

/** A (B, R) batch on the host: one row per response, R response tokens each. */
export type Rows = readonly ArrayLike<number>[];

/**
 * Checks that named batches have the shape of `mask`.
 *
 * @param what What cannot be done otherwise, for the message: "compute advantages".
 * @throws {ShapeError} Naming the first batch that differs.
 */
export function checkShapes(what: string, mask: Rows, batches: Record<string, Rows>): void {
  for (const [name, rows] of Object.entries(batches)) {
    const same = rows.length === mask.length &&
      rows.every((row, b) => row.length === mask[b].length);
    if (!same) {
      throw new ShapeError(
        `Cannot ${what}: ${name} must have the shape of mask ${shapeOf(mask)}, ` +
          `current shape is ${shapeOf(rows)}`,
      );
    }
  }
}

/** The elements inside the mask, row after row. What lies outside is never looked at. */
export function maskedValues(rows: Rows, mask: Rows): number[] {
  return mask.flatMap((row, b) => Array.from(rows[b]).filter((_, t) => row[t] !== 0));
}

/** Sums (B) over the elements of every row that lie inside the mask. */
export function maskedRowSums(rows: Rows, mask: Rows): number[] {
  return mask.map((row, b) =>
    Array.from(rows[b]).reduce((total, x, t) => (row[t] === 0 ? total : total + x), 0)
  );
}

function shapeOf(rows: Rows): string {
  const lengths = [...new Set(rows.map((row) => row.length))];
  return `(${rows.length}, ${lengths.join(" or ") || 0})`;
}
