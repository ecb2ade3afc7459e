import { assert, assertEquals } from "@std/assert";
import type { AdapterLimits, Gpu } from "../../kernels/runtime/mod.ts";
import { type CausalLMConfig, parseCausalLMConfig } from "../../model/causal_lm_config.ts";
import {
  parseSequenceClassifierConfig,
  type SequenceClassifierConfig,
} from "../../model/classifier_config.ts";
import type { Reward } from "../../reward/reward.ts";
import { planInputs } from "../../train/memory_inputs.ts";
import { planMemory } from "../../train/plan.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { HELD_OUT_PROMPTS, TRAINING_PROMPTS } from "../../train/prompts.ts";
import { readModelConfig } from "../../weights/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

/** A short and a long one, by letters and tokens. */
const PROMPTS = ["The", "The movie was good and the film"];

const DISTILBERT = new URL("../fixtures/distilbert", import.meta.url).pathname;

const constant: Reward = { name: "constant", score: (samples) => samples.map(() => 1) };

async function configOf(folder: string): Promise<CausalLMConfig> {
  return parseCausalLMConfig(await readModelConfig(folder), folder);
}

async function classifierConfig(folder: string): Promise<SequenceClassifierConfig> {
  return parseSequenceClassifierConfig(await readModelConfig(folder), folder);
}

function limitsOf({ bindingBytes, device }: Gpu): AdapterLimits {
  return { bindingBytes, bufferBytes: device.limits.maxBufferSize };
}

/** Bytes at the peak of an evaluation and some PPO steps, and those that were planned. */
async function measure(
  gpu: Gpu,
  { model, reward = constant, ...flags }: PpoTrainerOptions & { model: string },
): Promise<{ planned: number; used: number }> {
  using trainer = await PpoTrainer.create({ model, ...flags, reward, gpu });
  const lengths = PROMPTS.map((prompt) => trainer.policy.tokenizer.encode(prompt).length);
  const range = { shortest: Math.min(...lengths), longest: Math.max(...lengths) };
  const { config } = trainer;
  if (config.evalResponses > 0) {
    await trainer.evaluate(PROMPTS, { responses: config.evalResponses });
  }
  await trainer.train({ prompts: PROMPTS, steps: config.steps });
  const { peakBytes } = await planMemory({
    model: await configOf(model),
    rewards: reward === DISTILBERT ? [await classifierConfig(reward)] : [],
    settings: config,
    limits: limitsOf(gpu),
    promptTokens: { training: range, evaluation: range },
  });
  return { planned: peakBytes, used: gpu.peakBytes };
}

function assertNear({ planned, used }: { planned: number; used: number }): void {
  assert(Math.abs(planned / used - 1) < 0.1, `${planned} bytes planned, ${used} used`);
}

const SMALL = {
  model: GPT2,
  batchSize: 8,
  miniBatchSize: 8,
  maxLength: 24,
  maxNewTokens: 12,
  evalResponses: 0,
  epochs: 1,
  steps: 1,
};

const RUNS: Record<string, Partial<PpoTrainerOptions>> = {
  "the classical KL in the loss": {},
  "KL in the reward": { klMode: "reward" },
  "another estimator": { klMode: "loss", klEstimator: "k3" },
  "gradient accumulation": { gradientAccumulation: 4 },
  "minibatches": { miniBatchSize: 2 },
  "an evaluation of more responses than a batch": { evalResponses: 20 },
  "no limit but the length": { maxNewTokens: 23 },
  "frozen layers": { freezeLayers: 2 },
  "adapters": { loraRank: 4 },
  "adapters above frozen layers": { loraRank: 4, loraTargets: "c_attn", freezeLayers: 1 },
  "a reference and a classifier in f16": {
    reward: DISTILBERT,
    referenceDtype: "f16",
    freezeLayers: 1,
  },
  "a classifier as the reward": { reward: DISTILBERT, batchSize: 16, miniBatchSize: 1 },
  "responses that end early": { steps: 3, temperature: 3 },
};

for (const [name, flags] of Object.entries(RUNS)) {
  Deno.test(`planMemory() is within a tenth of what a run takes with ${name}`, () =>
    withGpu(async (gpu) => assertNear(await measure(gpu, { ...SMALL, ...flags }))));
}

Deno.test("planMemory() is at most a thousandth more than a run takes without an evaluation", () =>
  withGpu(async (gpu) => {
    const { planned, used } = await measure(gpu, { ...SMALL, minNewTokens: 12 });
    // A run reserves its activations; while those of the plan grow, the smaller ones count too.
    assert(planned >= used && planned < 1.001 * used, `${planned} bytes planned, ${used} used`);
  }));

for (const referenceDtype of ["f32", "f16"] as const) {
  Deno.test(`evaluateReference() in ${referenceDtype} takes no more than the run before it, as planned`, () =>
    withGpu(async (gpu) => {
      const sizes = { batchSize: 2, miniBatchSize: 2, evalResponses: 48 };
      const config = { ...SMALL, ...sizes, referenceDtype };
      using trainer = await PpoTrainer.create({ ...config, reward: constant, gpu });
      await trainer.train({ prompts: PROMPTS, steps: 1 });
      await trainer.evaluate(PROMPTS, { responses: 48 });
      const { peakBytes } = gpu;
      await trainer.evaluateReference(PROMPTS, { responses: 48 });
      assertEquals(gpu.peakBytes, peakBytes);
    }));
}

Deno.test("planMemory() is within a tenth of what the default run takes", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({ gpu, epochs: 1, steps: 1, evalResponses: 48 });
    await trainer.evaluate(HELD_OUT_PROMPTS, { responses: 48 });
    await trainer.train();
    const prompts = { training: TRAINING_PROMPTS, evaluation: HELD_OUT_PROMPTS };
    const inputs = await planInputs(trainer.config, prompts, { limits: limitsOf(gpu), hub: {} });
    assertNear({ planned: (await planMemory(inputs)).peakBytes, used: gpu.peakBytes });
  }));
