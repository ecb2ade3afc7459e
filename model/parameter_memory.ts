import type { Gpu } from "../kernels/runtime/mod.ts";
import type { Adapters } from "./lora.ts";
import { type FlatTensors, JoinedTensors, ParameterLayout, type ParameterSpec } from "./params.ts";

/** Where a model's parameters lie: those that training changes, and apart from them those that it does not. */
export interface ParameterMemory {
  /** All parameters or, with adapters, those that do not change. */
  values: FlatTensors | JoinedTensors;
  /** What training changes: parameters, or adapters and the value head. */
  trained: FlatTensors;
  /** What it does not change, where there is anything; other models may use it. */
  fixed: FlatTensors | undefined;
  /** What is the model's to free. */
  owned: readonly FlatTensors[];
}

/**
 * Allocates the parameters of a model.
 *
 * @param parts.specs All parameters, adapters not among them.
 * @param parts.isFixed Whether training leaves the parameter of that name as it is.
 * @param parts.shared The fixed parameters of another model, used in place of own ones whatever `isFixed` says.
 */
export function allocateParameters(
  gpu: Gpu,
  { specs, isFixed, adapters, shared }: {
    specs: readonly ParameterSpec[];
    isFixed: (name: string) => boolean;
    adapters: Adapters | undefined;
    shared: FlatTensors | undefined;
  },
): ParameterMemory {
  const allocate = (specs: readonly ParameterSpec[], label: string) =>
    specs.length === 0
      ? undefined
      : new ParameterLayout(specs, gpu.bindingBytes).allocate(gpu, label);
  const stays = ({ name }: ParameterSpec) => shared ? shared.has(name) : isFixed(name);
  const fixed = shared ?? allocate(specs.filter(stays), "fixed");
  const changing = specs.filter((spec) => !stays(spec));
  const own = allocate([...adapters?.parameters ?? [], ...changing], "values");
  const [first, ...others] = [fixed, own].filter((tensors) => tensors !== undefined);
  const all = others.length === 0 ? first : new JoinedTensors([first, ...others]);
  return {
    values: adapters && fixed ? fixed : all,
    trained: own ?? first,
    fixed,
    owned: [first, ...others].filter((tensors) => tensors !== shared),
  };
}
