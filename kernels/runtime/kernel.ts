/** How an entry point uses a tensor; a `?` marks one that may be left out of a dispatch. */
export type Access = "read" | "write" | "add" | "update" | "read?" | "write?";

/** Types of the scalars in a `Params` uniform. */
export type Scalar = "u32" | "i32" | "f32";

/**
 * One compute entry point as data.
 *
 * The convention: `@group(0)`, binding 0 is `var<uniform> params: Params` whose fields are the keys of
 * `params` in their order; bindings 1 to n are the tensors in the order of `bindings`. A WGSL name is the
 * key in snake_case. `read` becomes `var<storage, read>`, every other access `var<storage, read_write>`.
 * tests/architecture_test.ts holds every kernel to it.
 */
export interface Kernel<
  Bindings extends Record<string, Access> = Record<string, Access>,
  Params extends Record<string, Scalar> = Record<string, Scalar>,
> {
  /** For messages and profiles. */
  readonly label: string;
  /** WGSL of the module. */
  readonly code: string;
  /** Name of the entry point in it. */
  readonly entry: string;
  /** Tensors, and how the entry point uses each. */
  readonly bindings: Bindings;
  /** Scalars of the uniform. */
  readonly params: Params;
  /** Whether the WGSL uses subgroup operations; such a kernel runs only where `gpu.subgroupSize > 0`. */
  readonly subgroups?: boolean;
  /** Values for `override` declarations, where a dispatch gives none. */
  readonly constants?: Readonly<Record<string, number>>;
  /**
   * Values for `const` declarations that the code leaves out, where a dispatch gives none. They are for the
   * sizes of function-scope arrays, which `override` cannot set; they are appended, so line numbers hold.
   */
  readonly consts?: Readonly<Record<string, number>>;
}

/**
 * Declares a kernel; the types of its bindings and params are kept, so that dispatches are checked.
 *
 * ```ts
 * import { Gpu, kernel } from "@kl-guard/kl-guard";
 *
 * const double = kernel({
 *   label: "double",
 *   code: `
 *     struct Params { size: u32 }
 *     @group(0) @binding(0) var<uniform> params: Params;
 *     @group(0) @binding(1) var<storage, read_write> x: array<f32>;
 *
 *     @compute @workgroup_size(64)
 *     fn run(@builtin(global_invocation_id) id: vec3u) {
 *       if (id.x < params.size) { x[id.x] *= 2.0; }
 *     }`,
 *   entry: "run",
 *   bindings: { x: "update" },
 *   params: { size: "u32" },
 * });
 *
 * using gpu = await Gpu.open();
 * const x = gpu.tensor([1, 2, 3]);
 * const pass = gpu.record("doubling");
 * pass.dispatch(double, { tensors: { x }, params: { size: x.size }, workgroups: [1] });
 * pass.submit();
 * console.log(await gpu.read(x)); // Float32Array [2, 4, 6]
 * ```
 */
export function kernel<
  const Bindings extends Record<string, Access>,
  const Params extends Record<string, Scalar>,
>(spec: Kernel<Bindings, Params>): Kernel<Bindings, Params> {
  return spec;
}

/** `savedLogprobs` -> `saved_logprobs`: the WGSL name of a spec's key. */
export function wgslName(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The complete WGSL of a kernel: its code and the given `const` declarations. */
export function wgslOf(spec: Kernel, consts = spec.consts ?? {}): string {
  const lines = Object.entries(consts).map(([name, value]) => `const ${name}: u32 = ${value}u;`);
  return [spec.code, ...lines].join("\n");
}

/** Packs the scalars of one dispatch as the uniform's bytes; every WGSL scalar here takes four. */
export function packParams(
  spec: Kernel,
  values: Readonly<Record<string, number>>,
): Uint32Array<ArrayBuffer> {
  const entries = Object.entries(spec.params);
  const words = new Uint32Array(Math.max(4, Math.ceil(entries.length / 4) * 4));
  const view = new DataView(words.buffer);
  entries.forEach(([name, type], index) => {
    const value = values[name];
    if (value === undefined) {
      throw new TypeError(`Cannot dispatch ${spec.label}: params.${name} is missing`);
    }
    if (type === "f32") view.setFloat32(4 * index, value, true);
    else if (type === "u32") view.setUint32(4 * index, value, true);
    else view.setInt32(4 * index, value, true);
  });
  return words;
}
