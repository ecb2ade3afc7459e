/**
 * Fixed PPO workloads on random models: `deno task bench [small] [gpt2] [large] [--steps N] [--json]`.
 *
 * Without names, `small` and `gpt2`; on a GPU give all three. Every workload prints seconds for a step, tokens per second,
 * and a table of its phases and kernels; `gpt2` also how fast it generates at batch 1 and 16, and what share of the
 * limit by bytes it takes to read every parameter once a token. A product of 512 x 768 by 768 x 768 is timed before and
 * after: where the machine is busy, compare steps by their ratio to it.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { matmul } from "../../kernels/matmul.ts";
import { Gpu } from "../../kernels/runtime/mod.ts";
import { tune } from "../../kernels/tune.ts";
import type { CausalLM } from "../../model/causal_lm.ts";
import { measurePeaks } from "../../train/adapter_peaks.ts";
import { describeAdapter, kernelTable, stepTable } from "../../train/profile_report.ts";
import {
  kernelProfiles,
  measuredAdapter,
  profileDispatches,
  profileSteps,
} from "../../train/step_profile.ts";
import { randomRun, type Workload } from "../helpers/random_run.ts";
import { command } from "./workload_flags.ts";
import workloads from "./workloads.json" with { type: "json" };

const WORKLOADS: Readonly<Record<string, Workload>> = workloads;

/** Of the product that says how busy the machine is. */
const [ROWS, DEPTH] = [512, 768];

const options = command.parse(Deno.args, { from: "user" }).opts();
const [names] = command.processedArgs;
const say = (line: string) => options.json || console.log(line);

using gpu = await Gpu.open({ timestamps: true });
for (const name of names) {
  const result = await bench(name, WORKLOADS[name]!, options.steps);
  if (options.json) console.log(JSON.stringify(result));
}

/** Runs one workload, tells people of it, and returns it all for programs. */
async function bench(name: string, workload: Workload, steps: number) {
  using resources = new DisposableStack();
  const { run, prompts } = randomRun(gpu, resources, workload);
  gpu.peakBytes = gpu.liveBytes; // of this workload, not of the one before
  const { layers, width, vocabulary, prompt, response, batchSize, miniBatchSize, epochs } =
    workload;
  say(
    `\n${name}: ${layers} layers of ${width}, vocabulary ${vocabulary}, batch ${batchSize}, prompt ${prompt}, ` +
      `response ${response}, ${epochs} epochs, ${batchSize / miniBatchSize} minibatches`,
  );
  const productBefore = await productSeconds();
  const step = await profileSteps(run, () => prompts, { steps });
  const productAfter = await productSeconds();
  const { source, dispatches } = await profileDispatches(run, prompts, { step: steps + 2 });
  const peaks = await measurePeaks(gpu);
  const generation = [];
  for (const rows of name === "gpt2" ? [1, 16] : []) {
    const tokensPerSecond = await generationSpeed(run.policy, rows);
    const bytesPerSecond = tokensPerSecond / rows * 4 * run.policy.layout.count;
    generation.push({ rows, tokensPerSecond, limitShare: bytesPerSecond / peaks.bytesPerSecond });
  }
  const adapter = measuredAdapter(gpu, peaks);
  const kernels = kernelProfiles(dispatches, peaks);
  const product = (productBefore + productAfter) / 2;

  for (const line of [describeAdapter(adapter), ...stepTable(step)]) say(line);
  say(
    `a product of 512 x 768 x 768: ${flopsOf(product)} GFLOP/s (before ${
      flopsOf(productBefore)
    }, after ` +
      `${flopsOf(productAfter)}); a step takes as long as ${(step.seconds / product).toFixed(0)}`,
  );
  for (const { rows, tokensPerSecond, limitShare } of generation) {
    say(
      `generating at batch ${rows}: ${
        tokensPerSecond.toFixed(0)
      } tokens/s together; parameters are read at ` +
        `${(100 * limitShare).toFixed(0)} % of the limit`,
    );
  }
  say(`\nkernels of one more step, timed by ${source}`);
  for (const line of kernelTable(kernels, { rows: 20 })) say(line);
  const productGflops = Number(flopsOf(product));
  const { choices } = gpu.tuning;
  return {
    ...{ name, workload, adapter, step, productGflops, generation },
    ...{ timedBy: source, kernels, choices },
  };
}

function flopsOf(seconds: number): string {
  return (2 * ROWS * DEPTH * DEPTH / seconds / 1e9).toPrecision(3);
}

/** Seconds of one product, the mean of those of half a second: what the machine has to give at the moment. */
async function productSeconds(): Promise<number> {
  const tensors = {
    a: gpu.tensor(new Float32Array(ROWS * DEPTH).fill(0.5), [ROWS, DEPTH]),
    b: gpu.tensor(new Float32Array(DEPTH * DEPTH).fill(0.5), [DEPTH, DEPTH]),
    out: gpu.empty([ROWS, DEPTH]),
  };
  let done = 0;
  let seconds = 0;
  for (let repeats = 1; seconds < 0.5; repeats *= 2) {
    const pass = gpu.record("product");
    for (let i = 0; i < repeats; i++) matmul(pass, tensors);
    const start = performance.now();
    pass.submit();
    const finished = gpu.device.queue.onSubmittedWorkDone(); // Deno waits in the call, then 10 ms more
    const now = performance.now();
    await finished;
    if (repeats === 1) continue; // compiles
    seconds += (now - start) / 1000;
    done += repeats;
  }
  gpu.free(...Object.values(tensors));
  return seconds / done;
}

/** Tokens per second of `rows` rows together, prompts of 8 and responses of 64 tokens, after one to warm up. */
async function generationSpeed(model: CausalLM, rows: number): Promise<number> {
  const prompts = Array.from(
    { length: rows },
    (_, b) => Array.from({ length: 8 }, (_, t) => 1 + 8 * b + t),
  );
  const options = { maxNewTokens: 64, minNewTokens: 64 };
  let seconds = 0;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    await model.generate(prompts, { ...options, step: round });
    seconds = (performance.now() - start) / 1000;
    if (round === 0) await tune(model.gpu);
  }
  return rows * options.maxNewTokens / seconds;
}
