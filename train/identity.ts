/** Hashes by which a resumed run notices that what it began with has been changed. */

import { createHash } from "node:crypto";
import { readInTurn } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";

/** SHA-256 of a model's parameters: their names, shapes and 32-bit numbers. Reads all of them from the GPU. */
export async function hashModel({ gpu, layout, values }: CausalLM): Promise<string> {
  const hash = createHash("sha256");
  const tensors = layout.specs.map(({ name }) => values.get(name));
  const read = readInTurn(gpu, tensors);
  for (const [i, { name, shape }] of layout.specs.entries()) {
    hash.update(`${name} [${shape}]\n`);
    hash.update(new Uint8Array((await read[i]()).buffer));
  }
  return hash.digest("hex");
}

/** SHA-256 of a list of texts. */
export function hashTexts(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex");
}
