/** How lanes share the rows of attention: by the registers of a subgroup, or by workgroup memory. */

import type { Gpu } from "./runtime/mod.ts";

/** The operations that can be computed in both ways. */
export type AttentionOperation = "forward" | "backward" | "decode";

/** The ways to compute them; the usual one of a CPU first. */
export const WAYS = ["subgroup", "workgroup"] as const;

/** A way to compute them. */
export type AttentionWay = typeof WAYS[number];

/** What a kind of attention is told apart by. */
export interface AttentionSizes {
  /** Sequences times heads. */
  groups: number;
  /** Tokens of the longest sequence, or columns of the cache. */
  T: number;
  headSize: number;
}

/** Less work takes little time however it is computed, and is not measured: groups x T x head size. */
const LEAST = 2 ** 14;

/**
 * On a CPU the registers of another lane are nearer than workgroup memory, but there are drivers that forget so long a
 * code as that takes whenever another kernel runs; then it is as was measured. On a GPU workgroup memory is near.
 */
export function attentionWay(
  gpu: Gpu,
  operation: AttentionOperation,
  sizes: AttentionSizes,
): AttentionWay {
  const { groups, T, headSize } = sizes;
  const fits = operation !== "decode" || headSize <= 8 * gpu.subgroupSize;
  if (!gpu.software || gpu.subgroupSize === 0 || !fits) return "workgroup";
  if (groups * T * headSize < LEAST) return "subgroup";
  const kind = attentionKind(operation, sizes);
  return gpu.tuning.choice(kind, (way) => WAYS.find((known) => known === way)) ?? "subgroup";
}

/** The kind of attention, for which one choice holds, with powers of two: `attention forward 128 x 32 x 32`. */
export function attentionKind(
  operation: AttentionOperation,
  { groups, T, headSize }: AttentionSizes,
): string {
  const rounded = (size: number) => 2 ** Math.ceil(Math.log2(size));
  return `attention ${operation} ${rounded(groups)} x ${rounded(T)} x ${headSize}`;
}

/** Operation and sizes of {@linkcode attentionKind}; nothing for any other text. */
export function parseAttentionKind(
  kind: string,
): { operation: AttentionOperation; sizes: AttentionSizes } | undefined {
  const match = /^attention (forward|backward|decode) (\d+) x (\d+) x (\d+)$/.exec(kind);
  if (!match) return undefined;
  const [groups, T, headSize] = match.slice(2).map(Number);
  return {
    operation: match[1] as AttentionOperation,
    sizes: { groups: groups!, T: T!, headSize: headSize! },
  };
}
