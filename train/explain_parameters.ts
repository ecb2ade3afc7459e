/** How far a PPO step moves the parameters of its policy. */

import { readInTurn } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";

/** Of a part of the model: a block, an embedding, a head. */
export interface ParameterChange {
  /** What its parameters' names have in common: "h.0", "wte", "v_head.summary". */
  part: string;
  /** Number of parameters. */
  count: number;
  /** Their Euclidean norm before. */
  norm: number;
  /** Euclidean norm of the difference. */
  change: number;
  /** Largest difference of one parameter, without its sign. */
  largest: number;
}

/** The trained parameters of a policy at one moment, on the host: 4 bytes each. */
export class ParameterSnapshot {
  private constructor(readonly policy: CausalLM, readonly values: readonly Float32Array[]) {}

  /** Copies the parameters as they are. */
  static async take(policy: CausalLM): Promise<ParameterSnapshot> {
    const values: Float32Array[] = [];
    for (const read of readParameters(policy)) values.push(await read());
    return new ParameterSnapshot(policy, values);
  }

  /** What has changed since, part by part in the order of the model. */
  async changes(): Promise<ParameterChange[]> {
    const parts = new Map<string, ParameterChange>();
    const { specs } = this.policy.trained.layout;
    for (const [index, read] of readParameters(this.policy).entries()) {
      const part = partOf(specs[index].name);
      const sum = parts.get(part) ?? { part, count: 0, norm: 0, change: 0, largest: 0 };
      parts.set(part, sum);
      const [old, now] = [this.values[index], await read()];
      sum.count += old.length;
      for (let i = 0; i < old.length; i++) {
        const difference = now[i] - old[i];
        sum.norm += old[i] ** 2;
        sum.change += difference ** 2;
        sum.largest = Math.max(sum.largest, Math.abs(difference));
      }
    }
    return [...parts.values()].map((sum) => ({
      ...sum,
      norm: Math.sqrt(sum.norm),
      change: Math.sqrt(sum.change),
    }));
  }
}

function readParameters({ gpu, trained }: CausalLM): (() => Promise<Float32Array>)[] {
  return readInTurn(gpu, trained.layout.specs.map(({ name }) => trained.get(name)));
}

/** `h.0` of `h.0.attn.c_attn.weight`, `wte` of `wte.weight`. */
function partOf(name: string): string {
  return name.match(/\bh\.\d+(?=\.)/)?.[0] ?? name.replace(/\.(weight|bias)$/, "");
}
