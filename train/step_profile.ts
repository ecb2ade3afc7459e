import {
  countsBetween,
  type Gpu,
  type GpuCounts,
  Profiler,
  type TimedDispatch,
} from "../kernels/runtime/mod.ts";
import { tune } from "../kernels/tune.ts";
import type { AdapterPeaks } from "./adapter_peaks.ts";
import type { Guard } from "./guard.ts";
import { PPO_PHASES, type PpoPhase, type PpoRun, ppoStep } from "./ppo.ts";
import { median } from "./stats.ts";

/** What a step of training consists of: the phases of a PPO step, and the guard's look at it. */
export type StepPart = PpoPhase | "guard";

/** Every part, in their order. */
export const STEP_PARTS: readonly StepPart[] = [...PPO_PHASES, "guard"];

/** What PPO steps cost; times are medians, the rest is of the last step. */
export interface StepProfile {
  /** Steps that were timed. */
  steps: number;
  /** Seconds of a whole step. */
  seconds: number;
  /** Seconds of every step, in order. */
  everySecond: number[];
  /** Response tokens per second of a whole step. */
  tokensPerSecond: number;
  /** Response tokens per second of the phase `generate`. */
  generatedPerSecond: number;
  /** Most bytes that were allocated on the GPU at a time since it was opened. */
  peakBytes: number;
  /** Seconds of each phase, and what it asked of the GPU. */
  phases: Record<StepPart, { seconds: number; counts: GpuCounts }>;
}

/** Options of {@linkcode profileSteps}. */
export interface StepOptions {
  /** Steps to time. */
  steps: number;
  /** Steps before, in which pipelines are compiled and memory is laid out (default 2). */
  warmUp?: number;
  /**
   * Looks at every step, which takes its time, and is not heeded (default: none does).
   *
   * @internal
   */
  guard?: Guard | undefined;
}

/** Times whole PPO steps, as fast as they go, on batches from `next`; the policy is trained by them. */
export async function profileSteps(
  run: PpoRun,
  next: () => readonly string[],
  { steps, warmUp = 2, guard }: StepOptions,
): Promise<StepProfile> {
  const taken: TakenStep[] = [];
  for (let step = 0; step < warmUp + steps; step++) {
    const prompts = next();
    if (step === 0) await guard?.begin(run, prompts, { moved: false });
    const result = await takeStep(run, prompts, { step, guard });
    if (step === 0) await tune(run.policy.gpu); // knows by now what there is to compute
    if (step >= warmUp) taken.push(result);
  }
  const last = taken[taken.length - 1]!;
  const secondsOf = (part: StepPart | "total") => median(taken.map(({ timings }) => timings[part]));
  const phases = Object.fromEntries(
    STEP_PARTS.map((name) => [name, { seconds: secondsOf(name), counts: last.counts[name] }]),
  ) as StepProfile["phases"];
  return {
    steps,
    seconds: secondsOf("total"),
    everySecond: taken.map(({ timings }) => timings.total),
    tokensPerSecond: last.tokensGenerated / secondsOf("total"),
    generatedPerSecond: last.tokensGenerated / secondsOf("generate"),
    peakBytes: run.policy.gpu.peakBytes,
    phases,
  };
}

interface TakenStep {
  timings: Record<StepPart | "total", number>; // seconds
  counts: Record<StepPart, GpuCounts>;
  tokensGenerated: number;
}

async function takeStep(
  run: PpoRun,
  prompts: readonly string[],
  { step, guard }: { step: number; guard: Guard | undefined },
): Promise<TakenStep> {
  const { gpu } = run.policy;
  const { learningRate } = run.config;
  const taken = await ppoStep(run, prompts, { step, learningRate });
  const { timings, counts, tokensGenerated } = taken;
  const begun = { at: performance.now(), counts: { ...gpu.counts } };
  await guard?.inspect(run, taken, step + 1);
  const seconds = guard ? (performance.now() - begun.at) / 1000 : 0;
  return {
    timings: { ...timings, guard: seconds, total: timings.total + seconds },
    counts: { ...counts, guard: countsBetween(begun.counts, gpu.counts) },
    tokensGenerated,
  };
}

/** A step in which every dispatch was timed, which makes it slower as a whole. */
export interface DispatchProfile {
  /** How dispatches were timed; by `waits`, small ones look slower than they are. */
  source: Profiler["source"];
  /** In the order recorded. */
  dispatches: TimedDispatch[];
  /** The phases, in ms on the clock of `performance.now()`. */
  phases: { phase: PpoPhase; startMs: number; ms: number }[];
}

/** Takes one PPO step and times its dispatches; warm up before. */
export async function profileDispatches(
  run: PpoRun,
  prompts: readonly string[],
  { step }: { step: number },
): Promise<DispatchProfile> {
  const { gpu } = run.policy;
  const profiler = await Profiler.open(gpu);
  gpu.profiler = profiler;
  try {
    let startMs = performance.now();
    const { timings } = await ppoStep(run, prompts, {
      step,
      learningRate: run.config.learningRate,
    });
    const phases = PPO_PHASES.map((phase) => {
      const [from, ms] = [startMs, 1000 * timings[phase]];
      startMs += ms;
      return { phase, startMs: from, ms };
    });
    const dispatches = await profiler.collect();
    return { source: profiler.source, dispatches, phases };
  } finally {
    gpu.profiler = undefined;
  }
}

/** All dispatches of one kernel on tensors of the same shapes. */
export interface KernelProfile {
  /** Label of the kernel. */
  kernel: string;
  /** Shapes of its tensors. */
  shape: string;
  /** Dispatches. */
  calls: number;
  /** Time of all of them together, in ms. */
  ms: number;
  /** Of the time of all kernels, 0 to 1. */
  timeShare: number;
  /** 0 where the kernel does not say how many it does. */
  flopsPerSecond: number;
  /** As if every tensor were read or written whole. */
  bytesPerSecond: number;
  /**
   * Of what the adapter can do, by operations or by bytes, whichever is nearer to its limit. Above 1 where tensors lie in
   * caches, which the limit by bytes leaves out, or where a kernel touches only a part of one.
   */
  limitShare: number;
}

/** Sums dispatches by kernel and shapes, the longest first. */
export function kernelProfiles(
  dispatches: readonly TimedDispatch[],
  peaks: AdapterPeaks,
): KernelProfile[] {
  const total = dispatches.reduce((sum, { ms }) => sum + ms, 0);
  const groups = Map.groupBy(dispatches, ({ kernel, shape }) => `${kernel} ${shape}`);
  return [...groups.values()].map((group) => {
    const sum = (name: "ms" | "flops" | "bytes") =>
      group.reduce((sum, dispatch) => sum + dispatch[name], 0);
    const ms = sum("ms");
    const flopsPerSecond = sum("flops") / ms * 1000;
    const bytesPerSecond = sum("bytes") / ms * 1000;
    const { kernel, shape } = group[0]!;
    return {
      kernel,
      shape,
      calls: group.length,
      ms,
      timeShare: ms / total,
      flopsPerSecond,
      bytesPerSecond,
      limitShare: Math.max(
        flopsPerSecond / peaks.flopsPerSecond,
        bytesPerSecond / peaks.bytesPerSecond,
      ),
    };
  }).sort((a, b) => b.ms - a.ms);
}

/** The adapter's name and limits, as results are recorded with them. */
export interface MeasuredAdapter extends AdapterPeaks {
  description: string;
  /** Invocations per subgroup, 0 where they are not used. */
  subgroupSize: number;
}

/** The adapter of `gpu` with its limits. */
export function measuredAdapter(
  { description, subgroupSize }: Gpu,
  peaks: AdapterPeaks,
): MeasuredAdapter {
  return { description, subgroupSize, ...peaks };
}
