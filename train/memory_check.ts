/** Whether a PPO run fits into GPU memory, and which settings make it fit where it does not. */

import { type AdapterLimits, GpuMemoryError, ShapeError } from "../kernels/runtime/mod.ts";
import { parseBytes, showBytes } from "./byte_size.ts";
import { separated, type SettingName, type TrainConfig } from "./config.ts";
import { LEVERS, type Patch } from "./memory_levers.ts";
import { type MemoryPlan, type PlanInputs, planMemory } from "./plan.ts";

/** A run that would not fit, found before it begins. */
export class MemoryPlanError extends RangeError {
  /** The name of the class. */
  override name = "MemoryPlanError";
}

/** What {@linkcode checkMemory} found. */
export interface MemoryCheck {
  /** Absent where a tensor exceeds the adapter's limits. */
  plan?: MemoryPlan;
  /** What does not fit; absent where everything does. */
  problem?: string;
  /** Changes of settings with which it fits, each by itself; where none does, at most one of several settings. */
  remedies: Remedy[];
}

/** A change with which a run fits. */
export interface Remedy {
  /** Settings to change, with their new values. */
  settings: Partial<TrainConfig>;
  /** What the run then takes. */
  peakBytes: number;
}

/**
 * Plans a run and checks it against the adapter's limits and against the setting `memoryBudget`.
 *
 * Within these, an adapter may still have too little memory: no WebGPU call says how much of it is free.
 */
export async function checkMemory(inputs: PlanInputs): Promise<MemoryCheck> {
  const { plan, problem } = await attempt(inputs);
  const found = { remedies: [], ...(plan && { plan }) };
  if (problem === undefined) return found;
  const alone = await remediesAlone(inputs);
  return { ...found, problem, remedies: alone.length > 0 ? alone : await remedyTogether(inputs) };
}

/**
 * Checks that a run fits.
 *
 * @param name The model, for the message.
 * @throws {MemoryPlanError} If it does not; the message says what it takes and which settings make it fit.
 */
export async function expectFit(name: string, inputs: PlanInputs): Promise<void> {
  const { problem, remedies } = await checkMemory(inputs);
  if (problem === undefined) return;
  throw new MemoryPlanError(`Cannot train ${name}: ${problem}; ${adviceOf(remedies)}`);
}

/** What to do: "use one of --max-length 40 (1.2 GiB), --batch-size 1 (1.0 GiB)". */
export function adviceOf(remedies: readonly Remedy[]): string {
  if (remedies.length === 0) {
    return "no settings change that; choose a smaller model, or give it more memory";
  }
  const shown = remedies.map(({ settings, peakBytes }) =>
    `${flagsOf(settings)} (${showBytes(peakBytes)})`
  );
  return `use ${shown.length > 1 ? "one of " : ""}${shown.join(", ")}`;
}

/** Limits as a line of text. */
export function showLimits({ bindingBytes, bufferBytes }: AdapterLimits): string {
  return `${showBytes(bindingBytes)} in one binding, ${showBytes(bufferBytes)} in one buffer`;
}

function flagsOf(settings: Patch): string {
  return Object.entries(settings).map(([name, value]) => `--${separated(name, "-")} ${value}`)
    .join(" ");
}

async function attempt(inputs: PlanInputs): Promise<{ plan?: MemoryPlan; problem?: string }> {
  const budget = parseBytes(inputs.settings.memoryBudget) ?? Infinity;
  try {
    const plan = await planMemory(inputs);
    if (plan.peakBytes <= budget) return { plan };
    const [needs, allowed] = [plan.peakBytes, budget].map(showBytes);
    return { plan, problem: `it takes ${needs} of GPU memory, and memoryBudget allows ${allowed}` };
  } catch (error) {
    if (!(error instanceof ShapeError || error instanceof GpuMemoryError)) throw error;
    const what = error.message.split("; ")[0]; // what follows is advice for a kernel's author
    return { problem: `it exceeds the adapter's limits (${what})` };
  }
}

/** Of every lever, the mildest change with which the run fits. */
async function remediesAlone(inputs: PlanInputs): Promise<Remedy[]> {
  const remedies = [];
  for (const lever of LEVERS) {
    const patches = lever(inputs);
    const strongest = patches.at(-1);
    if (!strongest || !await fitting(inputs, strongest)) continue;
    const mildest = await firstFitting(inputs, patches);
    if (mildest) remedies.push(mildest);
  }
  return remedies;
}

/** Levers pulled one after the other, as far as they go, until the run fits. */
async function remedyTogether(inputs: PlanInputs): Promise<Remedy[]> {
  let settings: Patch = {};
  for (const lever of LEVERS) {
    const patches = lever(patched(inputs, settings)).map((patch) => ({ ...settings, ...patch }));
    const remedy = await firstFitting(inputs, patches);
    if (remedy) return [remedy];
    settings = patches.at(-1) ?? settings;
  }
  return [];
}

async function firstFitting(
  inputs: PlanInputs,
  patches: readonly Patch[],
): Promise<Remedy | undefined> {
  for (const patch of patches) {
    const remedy = await fitting(inputs, patch);
    if (remedy) return remedy;
  }
  return undefined;
}

async function fitting(inputs: PlanInputs, patch: Patch): Promise<Remedy | undefined> {
  const { plan, problem } = await attempt(patched(inputs, patch));
  if (!plan || problem !== undefined) return undefined;
  const changed = Object.entries(patch)
    .filter(([name, value]) => inputs.settings[name as SettingName] !== value);
  return { settings: Object.fromEntries(changed), peakBytes: plan.peakBytes };
}

function patched(inputs: PlanInputs, patch: Patch): PlanInputs {
  return { ...inputs, settings: { ...inputs.settings, ...patch } as TrainConfig };
}
