/** Hashes by which a resumed run notices that what it began with has been changed. */

import { createHash } from "node:crypto";
import { type Dtype, readInTurn } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";

/** SHA-256 of a model's parameters: their names, shapes and bits. Reads all of them from the GPU. */
export async function hashModel({ gpu, layout, values, halves }: CausalLM): Promise<string> {
  const hash = createHash("sha256");
  const tensors = [
    ...layout.specs.map(({ name, shape }) => ({ name, shape, tensor: values.get(name) })),
    ...(halves?.names ?? []).map((name) => {
      const { shape, halves: tensor } = halves!.get(name);
      return { name, shape, tensor };
    }),
  ];
  const read = readInTurn<Dtype>(gpu, tensors.map(({ tensor }) => tensor));
  for (const [i, { name, shape }] of tensors.entries()) {
    hash.update(`${name} [${shape}]\n`);
    hash.update(new Uint8Array((await read[i]()).buffer));
  }
  return hash.digest("hex");
}

/** SHA-256 of a list of texts. */
export function hashTexts(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex");
}
