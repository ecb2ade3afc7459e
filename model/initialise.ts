import type { Gpu } from "../kernels/runtime/mod.ts";
import type { CausalLMConfig } from "./causal_lm_config.ts";
import type { DistilBertConfig } from "./distilbert_config.ts";
import type { ParameterSpec, ParameterValues } from "./params.ts";

/**
 * Gives parameters random values as `transformers` initialises them: matrices normal with `initializerRange`,
 * layer norms one, biases zero; in a GPT-2, the projections onto the residual stream are smaller by the square
 * root of 2L.
 *
 * @param options.values Overwritten where `specs` say so; zeros, as they are when allocated.
 * @param options.specs The parameters to initialise; all by default.
 * @param options.normal Standard normal numbers.
 */
export function initialiseParameters(
  gpu: Gpu,
  { values, specs = values.layout.specs, config, normal }: {
    values: ParameterValues;
    specs?: readonly ParameterSpec[];
    config: CausalLMConfig | DistilBertConfig;
    normal: () => number;
  },
): void {
  for (const { name, shape } of specs) {
    if (name.endsWith(".bias")) continue;
    const tensor = values.get(name);
    const isNorm = shape.length < 2;
    const smaller = config.modelType === "gpt2" && name.endsWith("c_proj.weight");
    const scale = smaller ? 1 / Math.sqrt(2 * config.nLayer) : 1;
    const deviation = config.initializerRange * scale;
    const next = isNorm ? () => 1 : () => deviation * normal();
    gpu.write(tensor, Float32Array.from({ length: tensor.size }, next));
  }
}
