/** The GPU vocabulary that kernels, models and trainers are written in. */
export { adapterLimits, type AdapterOptions } from "./adapter.ts";
export { Arena } from "./arena.ts";
export { compileKernels } from "./compile.ts";
export { countsBetween, type GpuCounts } from "./counts.ts";
export { type AdapterKind, type AdapterLimits, dryWebGpu } from "./dry_gpu.ts";
export * from "./errors.ts";
export { Gpu, type GpuOptions } from "./gpu.ts";
export { type Access, type Kernel, kernel, type Scalar, wgslName, wgslOf } from "./kernel.ts";
export { type Bound, type Dispatch, Pass, type SubmittedPass } from "./pass.ts";
export type { PlannedKernel, Specialisation } from "./pipelines.ts";
export { type PassTimer, Profiler, type TimedDispatch } from "./profiler.ts";
export { groupsWithin } from "./groups.ts";
export { readInTurn } from "./read_in_turn.ts";
export {
  type Dtype,
  expectShape,
  expectSize,
  type HostArray,
  show,
  sizeOf,
  Tensor,
} from "./tensor.ts";
export { Tuning } from "./tuning.ts";
export type { GpuWatcher } from "./watcher.ts";
