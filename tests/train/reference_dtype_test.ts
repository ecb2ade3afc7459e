import { assert, assertEquals } from "@std/assert";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const PROMPTS = ["the movie", "hopefully, this picture will", "a", "it is"];

const DISTILBERT = new URL("../fixtures/distilbert", import.meta.url).pathname;

const OPTIONS: PpoTrainerOptions = {
  reward: DISTILBERT,
  judge: "",
  batchSize: 4,
  miniBatchSize: 4,
  epochs: 2,
  maxNewTokens: 6,
  referenceDtype: "f16",
};

for (const [name, model] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: against a reference in f16 the ratio begins at 1, and the KL near 0`, () =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...OPTIONS, model, gpu, learningRate: 0 });
      assert(trainer.run.reference.halves);
      const { metrics } = await trainer.trainStep(PROMPTS);
      assertEquals(metrics["ppo/policy/ratio"], 1);
      const kl = metrics["objective/kl_full"] ?? NaN;
      assert(kl > 0 && kl < 1e-6, `${kl} nats per token`); // what the setting's documentation states
    }));
}

Deno.test("the classifier that rewards is in f16 too, and scores as in f32 to three decimals", () =>
  withGpu(async (gpu) => {
    const scores: number[] = [];
    const bytes: number[] = [];
    for (const referenceDtype of ["f32", "f16"] as const) {
      using trainer = await PpoTrainer.create({ ...OPTIONS, model: GPT2, gpu, referenceDtype });
      bytes.push(gpu.liveBytes);
      scores.push((await trainer.evaluate(PROMPTS)).meanScore);
    }
    assert(Math.abs(scores[0] - scores[1]) < 1e-3, `${scores}`);
    assert(bytes[1] < bytes[0] - 300_000, `${bytes}`); // of a reference of 450 kB and a classifier of 330 kB
  }));
