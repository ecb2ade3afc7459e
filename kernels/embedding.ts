import common from "./common.wgsl" with { type: "text" };
import { byWidth, expectRows, rowsOf } from "./elements.ts";
import source from "./embedding.wgsl" with { type: "text" };
import backwardSource from "./embedding_backward.wgsl" with { type: "text" };
import { expectSize, type Kernel, kernel, type Pass, type Tensor } from "./runtime/mod.ts";
import { rowShards } from "./runtime/shards.ts";

export { rowShards };

const forward = byWidth((elements) =>
  kernel({
    label: "embedding_forward",
    code: source + elements + common,
    entry: "forward",
    bindings: { ids: "read", positions: "read", wte: "read", wpe: "read", out: "write" },
    params: { N: "u32", C: "u32", first: "u32", count: "u32" },
  })
);

const backward = byWidth((elements) =>
  kernel({
    label: "embedding_backward",
    code: backwardSource + elements + common,
    entry: "backward",
    bindings: {
      order: "read",
      starts: "read",
      lengths: "read",
      targets: "read",
      dout: "read",
      dtable: "add",
    },
    params: { N: "u32", C: "u32", first: "u32", count: "u32" },
  })
);

/** The tensors of {@linkcode embeddingForward}: N rows, C channels, V tokens, P positions. */
export interface EmbeddingTensors {
  /** (N) token ids below V. */
  ids: Tensor<"u32">;
  /** (N) positions below P. */
  positions: Tensor<"u32">;
  /** (V, C), perhaps larger than one binding. */
  wte: Tensor;
  /** (P, C) */
  wpe: Tensor;
  /** (N, C) */
  out: Tensor;
}

/**
 * Overwrites `out` with `wte[id] + wpe[position]`.
 *
 * A `wte` larger than one binding is taken in row shards, a dispatch each. Rows whose id is not below V are
 * left as they are.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function embeddingForward(pass: Pass, tensors: EmbeddingTensors): void {
  const { ids, positions, wte, wpe, out } = tensors;
  const operation = "embeddingForward";
  const { N, C, width } = rowsOf(operation, { out });
  expectSize(operation, "ids", ids, N);
  expectSize(operation, "positions", positions, N);
  expectRows(operation, "wte", wte, C);
  expectRows(operation, "wpe", wpe, C);
  for (const { from, to } of rowShards(wte, pass.gpu.bindingBytes)) {
    pass.dispatch(forward[width], {
      tensors: { ids, positions, wte: wte.rows(from, to), wpe, out },
      params: { N, C: C / width, first: from, count: to - from },
      constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
      workgroups: [N],
    });
  }
}

/**
 * Rows grouped by the row of a table that they came from, so that each is added to by one workgroup.
 *
 * Group g is rows `order[starts[g]]` to `order[starts[g] + lengths[g] - 1]`, all from row `targets[g]`. Every
 * list has N entries for N rows; past the last group the lengths are 0.
 */
export interface RowGroups<List = Tensor<"u32">> {
  order: List;
  starts: List;
  lengths: List;
  targets: List;
}

/** Plans {@linkcode embeddingBackward}: groups the rows by id, ascending, keeping their order within a group. */
export function groupRows(ids: Uint32Array): RowGroups<Uint32Array<ArrayBuffer>> {
  const N = ids.length;
  const sorted = Array.from(ids.keys()).sort((a, b) => ids[a] - ids[b]); // stable
  const groups = {
    order: new Uint32Array(N),
    starts: new Uint32Array(N),
    lengths: new Uint32Array(N),
    targets: new Uint32Array(N),
  };
  let group = -1;
  sorted.forEach((row, i) => {
    if (i === 0 || ids[row] !== groups.targets[group]) {
      group++;
      groups.targets[group] = ids[row];
      groups.starts[group] = i;
    }
    groups.order[i] = row;
    groups.lengths[group]++;
  });
  return groups;
}

/**
 * Adds to each row of `dtable` (V, C) the rows of `dout` (N, C) that came from it.
 *
 * WGSL has no atomic floats: each group of {@linkcode groupRows} is summed in order by one workgroup. A
 * `dtable` larger than one binding is taken in row shards.
 *
 * @throws {ShapeError} If the shapes differ.
 */
export function embeddingBackward(
  pass: Pass,
  { dout, groups, dtable }: { dout: Tensor; groups: RowGroups; dtable: Tensor },
): void {
  const { order, starts, lengths, targets } = groups;
  const operation = "embeddingBackward";
  const { N, C, width } = rowsOf(operation, { dout });
  for (const [name, list] of Object.entries({ order, starts, lengths, targets })) {
    expectSize(operation, name, list, N);
  }
  expectRows(operation, "dtable", dtable, C);
  for (const { from, to } of rowShards(dtable, pass.gpu.bindingBytes)) {
    pass.dispatch(backward[width], {
      tensors: { order, starts, lengths, targets, dout, dtable: dtable.rows(from, to) },
      params: { N, C: C / width, first: from, count: to - from },
      constants: { WORKGROUP_SIZE: pass.gpu.rowLanes },
      workgroups: [N],
    });
  }
}

/** Every kernel of this module. */
export const KERNELS: readonly Kernel[] = [forward, backward]
  .flatMap((kernels): Kernel[] => Object.values(kernels));
