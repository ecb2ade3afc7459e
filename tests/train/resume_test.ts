import { assertEquals, assertNotEquals } from "@std/assert";
import { Gpu, type GpuOptions } from "../../kernels/runtime/mod.ts";
import type { Reward } from "../../reward/reward.ts";
import type { TrainerCallback } from "../../train/callbacks.ts";
import { isTimeMetric } from "../../train/metric_table.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const PROMPTS = ["the movie", "hopefully, this picture will", "a", "it is", "the plot"];

/** Likes the letter e. */
const LETTERS: Reward = {
  name: "letters",
  score: (samples) => samples.map(({ response }) => response.split("e").length - 1),
};

const STEPS = 10;

const SETTINGS: PpoTrainerOptions = {
  model: GPT2,
  reward: LETTERS,
  steps: STEPS,
  batchSize: 4,
  miniBatchSize: 2,
  epochs: 2,
  maxNewTokens: 6,
  learningRate: 1e-3,
  klTarget: 1e-4, // so that every controller moves
};

const CASES: Record<string, PpoTrainerOptions> = {
  "KL in the loss, band": {},
  "KL in the reward, proportional": { klMode: "reward", klController: "proportional" },
  "fixed KL weight, a falling learning rate after a warm-up": {
    klController: "fixed",
    lrSchedule: "cosine",
    warmupSteps: 2,
  },
  "accumulated gradients, weight decay": { gradientAccumulation: 2, weightDecay: 0.1 },
  "frozen layers, and a reference in f16": { freezeLayers: 1, referenceDtype: "f16" },
  "adapters": { loraRank: 3, loraTargets: "c_attn,mlp.c_proj" },
  "normalised scores, an estimate of the KL": { normaliseScores: true, klEstimator: "k3" },
};

/** Trains to `until`, and saves; the metrics of each step without the times, and the samples, go into `lines`. */
async function train(trainer: PpoTrainer, until: number, folder: string, lines: string[]) {
  const stop = new AbortController();
  const recorder: TrainerCallback = {
    onStepEnd(_, { metrics, samples }) {
      const kept = Object.entries(metrics).filter(([name]) => !isTimeMetric(name));
      lines.push(JSON.stringify([kept, samples]));
      if (metrics.step === until) stop.abort();
    },
  };
  await trainer.train({ prompts: PROMPTS, callbacks: [recorder], signal: stop.signal });
  await trainer.save(folder);
}

/** The files of policy and moments. */
async function weights(folder: string): Promise<Uint8Array[]> {
  const names = (await listTree(folder)).filter((name) => name.endsWith(".safetensors"));
  assertEquals(names.length, 2);
  return await Promise.all(names.map((name) => Deno.readFile(`${folder}/${name}`)));
}

for (const [name, options] of Object.entries(CASES)) {
  Deno.test(`ten steps are five and five more, bit by bit: ${name}`, () =>
    withFolder((folder) =>
      withGpu(async (gpu) => {
        const settings = { ...SETTINGS, ...options, gpu };
        const whole: string[] = [];
        {
          using trainer = await PpoTrainer.create(settings);
          await train(trainer, STEPS, `${folder}/whole`, whole);
        }
        const halves: string[] = [];
        {
          using trainer = await PpoTrainer.create(settings);
          await train(trainer, 5, `${folder}/half`, halves);
        }
        assertEquals(halves.length, 5);
        {
          using trainer = await PpoTrainer.resume(`${folder}/half`, { gpu, reward: LETTERS });
          assertEquals([trainer.steps, trainer.episodes], [5, 20]);
          await train(trainer, STEPS, `${folder}/halves`, halves);
        }
        assertEquals(halves, whole);
        assertEquals(await weights(`${folder}/halves`), await weights(`${folder}/whole`));
        assertNotEquals(await weights(`${folder}/half`), await weights(`${folder}/whole`));
      })
    ));
}

Deno.test("a run that goes on computes its products as before, unless the adapter is another", () =>
  withFolder(async (folder) => {
    const chosen = { "nn 64 x 768 x 768": "registers 16" };
    const settings = { ...SETTINGS, steps: 1 };
    {
      using gpu = await Gpu.open();
      gpu.tuning.load(chosen);
      using trainer = await PpoTrainer.create({ ...settings, gpu });
      await train(trainer, 1, `${folder}/run`, []);
    }
    const choices = async (options: GpuOptions) => {
      using gpu = await Gpu.open(options);
      using _trainer = await PpoTrainer.resume(`${folder}/run`, { gpu, reward: LETTERS });
      return gpu.tuning.choices;
    };
    assertEquals(await choices({}), chosen);
    assertEquals(await choices({ bindingBytes: 2 ** 26 }), {});
  }));
