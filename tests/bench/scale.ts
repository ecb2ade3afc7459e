/**
 * How the cost of a PPO step grows with the batch, the length of rows and the number of parameters, each alone:
 *
 * ```
 * deno run --allow-read --allow-write --allow-env tests/bench/scale.ts [batch] [length] [parameters] [--full] [--out FOLDER] [--json]
 * ```
 *
 * Beside every time stands what the arithmetic alone would make of it, by the exponent of a fit, y = c x^p: a term that grows
 * faster than the arithmetic shows as an exponent above its own, over all points or over the last two, where fixed costs
 * weigh least. Beside the most bytes on the GPU stands what `deno task plan` says beforehand. `--full` takes GPT-2's own
 * sizes in place of small ones, and up to 350 M parameters: for a graphics card. `--out` gets plots, `scale.svg`.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { join } from "node:path";
import { parseArgs } from "node:util";
import { adapterLimits, Gpu } from "../../kernels/runtime/mod.ts";
import { showBytes } from "../../train/byte_size.ts";
import { planMemory } from "../../train/plan.ts";
import type { PpoRun } from "../../train/ppo.ts";
import { profileSteps } from "../../train/step_profile.ts";
import { configOf, randomRun, type Workload } from "../helpers/random_run.ts";
import { type Phase, PHASES, stepArithmetic } from "./arithmetic.ts";
import { digits, exponent, markdownTable } from "./figures.ts";
import { figureSvg, type Panel } from "./line_chart.ts";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: "boolean", default: false },
    steps: { type: "string", default: "3" },
    out: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

/** One epoch of one minibatch, so that a step is its arithmetic and little else. */
const BASE = {
  ...(options.full
    ? { layers: 12, width: 768, heads: 12, vocabulary: 50_257 }
    : { layers: 4, width: 192, heads: 6, vocabulary: 4096 }),
  prompt: 8,
  response: 24,
  batchSize: 4,
  miniBatchSize: 4,
  epochs: 1,
};

/** Layers, width, heads, of 2, 9, 28, 89 and 347 M parameters with 4,096 tokens. */
const MODELS = [[4, 160, 5], [6, 320, 5], [8, 512, 8], [12, 768, 12], [24, 1088, 17]] as const;

const SWEEPS: Readonly<Record<string, { unit: string; workloads: Workload[] }>> = {
  batch: {
    unit: "rows",
    workloads: [1, 2, 4, 8, 16, 32, 64].map((rows) => ({
      ...BASE,
      batchSize: rows,
      miniBatchSize: rows,
    })),
  },
  length: {
    unit: "tokens",
    workloads: [32, 64, 128, 256, 512, 1024].map((length) => ({
      ...BASE,
      response: length - BASE.prompt,
      batchSize: 2,
      miniBatchSize: 2,
    })),
  },
  parameters: {
    unit: "parameters",
    workloads: MODELS.slice(0, options.full ? 5 : 4).map(([layers, width, heads]) => ({
      ...BASE,
      layers,
      width,
      heads,
      vocabulary: 4096,
    })),
  },
};

/** What one point of a sweep took. */
interface Measured {
  x: number;
  seconds: Record<Phase | "step", number>;
  arithmetic: Record<Phase | "step", number>;
  peakBytes: number;
  plannedBytes: number;
}

using gpu = await Gpu.open();
const panels: Panel[] = [];
const say = (line: string) => options.json || console.log(line);
say(gpu.description);
for (const name of positionals.length > 0 ? positionals : Object.keys(SWEEPS)) {
  const sweep = SWEEPS[name];
  if (!sweep) throw new RangeError(`Cannot sweep ${name}: there are ${Object.keys(SWEEPS)}`);
  const points: Measured[] = [];
  for (const workload of sweep.workloads) points.push(await measure(name, workload));
  if (options.json) console.log(JSON.stringify({ adapter: gpu.description, sweep: name, points }));
  for (const line of ["", ...table(name, points), "", ...exponents(name, points)]) say(line);
  panels.push(panelOf(`${name} (${sweep.unit})`, points));
}
if (options.out !== undefined) {
  await Deno.mkdir(options.out, { recursive: true });
  const figure = figureSvg({
    title: "Cost of a PPO step",
    description: `Seconds of the phases on ${gpu.description}; both axes are logarithmic.`,
    panels,
  });
  await Deno.writeTextFile(join(options.out, "scale.svg"), figure);
}

async function measure(name: string, workload: Workload): Promise<Measured> {
  using resources = new DisposableStack();
  gpu.peakBytes = gpu.liveBytes;
  const { run, prompts } = randomRun(gpu, resources, workload, { evalResponses: 0 });
  const { seconds, phases, peakBytes } = await profileSteps(run, () => prompts, {
    steps: Number(options.steps),
  });
  const arithmetic = stepArithmetic(workload);
  const { batchSize, prompt, response } = workload;
  const x = { batch: batchSize, length: prompt + response }[name] ?? run.policy.layout.count;
  return {
    x,
    seconds: {
      generate: phases.generate.seconds,
      forward: phases.forward.seconds,
      update: phases.update.seconds,
      step: seconds,
    },
    arithmetic: { ...arithmetic, step: PHASES.reduce((sum, phase) => sum + arithmetic[phase], 0) },
    peakBytes,
    plannedBytes: await plannedBytes(run, workload),
  };
}

async function plannedBytes({ config }: PpoRun, workload: Workload): Promise<number> {
  const lengths = { shortest: workload.prompt, longest: workload.prompt };
  const { peakBytes } = await planMemory({
    model: configOf(workload),
    rewards: [],
    settings: { ...config, guard: false }, // which scores once before the first step
    limits: await adapterLimits(),
    promptTokens: { training: lengths, evaluation: lengths },
  });
  return peakBytes;
}

function table(name: string, points: readonly Measured[]): string[] {
  return markdownTable(
    [name, "generate, s", "forward, s", "update, s", "step, s", "GFLOP/s", "peak", "plan"],
    points.map(({ x, seconds, arithmetic, peakBytes, plannedBytes }) => [
      x.toLocaleString("en"),
      ...[...PHASES, "step" as const].map((phase) => seconds[phase].toFixed(3)),
      digits(arithmetic.step / seconds.step / 1e9),
      showBytes(peakBytes),
      showBytes(plannedBytes),
    ]),
    0,
  );
}

/** Exponents of time and of arithmetic, over all points and over the last two. */
function exponents(name: string, points: readonly Measured[]): string[] {
  const of = (what: "seconds" | "arithmetic", phase: Phase | "step", from: Measured[]) =>
    exponent(from.map((point) => ({ x: point.x, y: point[what][phase] }))).toFixed(2);
  return markdownTable(
    [`${name}^p`, "p of time", "of arithmetic", "at the end, of time", "of arithmetic "],
    [...PHASES, "step" as const].map((phase) => [
      phase,
      ...[[...points], points.slice(-2)].flatMap((part) => [
        of("seconds", phase, part),
        of("arithmetic", phase, part),
      ]),
    ]),
  );
}

/** Seconds of the phases, and the slope that the arithmetic of the update has, drawn to end where the update does. */
function panelOf(xLabel: string, points: readonly Measured[]): Panel {
  const last = points.at(-1)!;
  const lines = PHASES.map((phase) => ({
    label: phase,
    points: points.map(({ x, seconds }) => ({ x, y: seconds[phase] })),
    dots: true,
  }));
  const arithmetic = points.map(({ x, arithmetic: { update } }) => ({
    x,
    y: last.seconds.update * update / last.arithmetic.update,
  }));
  return {
    title: "seconds of a PPO step",
    xLabel,
    xLog: true,
    yLog: true,
    lines: [...lines, { label: "arithmetic", points: arithmetic }],
  };
}
