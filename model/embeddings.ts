import { embeddingBackward, embeddingForward, groupRows } from "../kernels/embedding.ts";
import { halfEmbedding } from "../kernels/half.ts";
import type { Arena, Tensor } from "../kernels/runtime/mod.ts";
import { gradsOf, type LayerContext } from "./layers.ts";
import type { TokenBatch } from "./token_batch.ts";

/** The names of the two tables that are added up. */
export interface EmbeddingTables {
  /** (V, C) by token id. */
  tokens: string;
  /** (P, C) by position. */
  positions: string;
}

/** The embedding of each token plus that of its position: (N, C), in the arena's slot `embedded`. */
export function embed(
  { pass, values, halves, arena }: LayerContext,
  tables: EmbeddingTables,
  { ids, positions }: { ids: Tensor<"u32">; positions: Tensor<"u32"> },
): Tensor {
  const [tokens, places] = [`${tables.tokens}.weight`, `${tables.positions}.weight`];
  if (halves?.has(tokens)) { // no table is expanded for the few rows of it
    const [wte, wpe] = [halves.get(tokens), halves.get(places)];
    const out = arena.take("embedded", [ids.size, wte.shape[1]]);
    halfEmbedding(pass, { ids, positions, wte, wpe, out });
    return out;
  }
  const [wte, wpe] = [values.get(tokens), values.get(places)];
  const out = arena.take("embedded", [ids.size, wte.columnCount]);
  embeddingForward(pass, { ids, positions, wte, wpe, out });
  return out;
}

/** Backward of {@linkcode embed}: adds to the gradients of the tables that are trained. */
export function embedBackward(
  context: LayerContext,
  tables: EmbeddingTables,
  { host }: TokenBatch,
  dout: Tensor,
): void {
  const grads = gradsOf(context);
  for (const [table, rows] of [["tokens", host.ids], ["positions", host.positions]] as const) {
    const name = `${tables[table]}.weight`;
    if (!grads.has(name)) continue;
    const groups = uploadGroups(context.arena, table, groupRows(rows));
    const dtable = grads.accumulator(context.pass, name);
    embeddingBackward(context.pass, { dout, groups, dtable });
  }
}

function uploadGroups(arena: Arena, table: string, groups: ReturnType<typeof groupRows>) {
  const upload = (name: string, data: Uint32Array) => {
    const tensor = arena.take(`${table}.${name}`, [data.length], "u32");
    arena.gpu.write(tensor, data);
    return tensor;
  };
  return {
    order: upload("order", groups.order),
    starts: upload("starts", groups.starts),
    lengths: upload("lengths", groups.lengths),
    targets: upload("targets", groups.targets),
  };
}
