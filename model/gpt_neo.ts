import type { GptNeoConfig } from "./gpt_neo_config.ts";
import { trunkParameters } from "./gpt2.ts";
import { linearParameters, type ParameterSpec } from "./params.ts";

/**
 * GPT-Neo's parameters under GPT-2's names, so that one trunk runs both.
 *
 * Its checkpoints keep queries, keys and values apart and without biases, and every weight as it is here, (out, in).
 */
export function gptNeoParameters(config: GptNeoConfig): ParameterSpec[] {
  const { nEmbd: C, nInner: F } = config;
  return trunkParameters(config, (l) => {
    const stored = `h.${l}.attn.attention`;
    const parts = ["q_proj", "k_proj", "v_proj"].map((part) => `${stored}.${part}`);
    const [qkv] = linearParameters(`h.${l}.attn.c_attn`, { inputs: C, outputs: 3 * C, parts });
    const proj = { inputs: C, outputs: C, parts: [`${stored}.out_proj`] };
    return [
      { name: `h.${l}.ln_1.weight`, shape: [C] },
      { name: `h.${l}.ln_1.bias`, shape: [C] },
      qkv,
      ...linearParameters(`h.${l}.attn.c_proj`, proj),
      { name: `h.${l}.ln_2.weight`, shape: [C] },
      { name: `h.${l}.ln_2.bias`, shape: [C] },
      ...linearParameters(`h.${l}.mlp.c_fc`, { inputs: C, outputs: F }),
      ...linearParameters(`h.${l}.mlp.c_proj`, { inputs: F, outputs: C }),
    ];
  });
}
