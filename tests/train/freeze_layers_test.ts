import { assert, assertEquals } from "@std/assert";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";

const PROMPTS = ["the movie", "hopefully, this picture will", "a", "it is"];

const OPTIONS: PpoTrainerOptions = {
  reward: {
    name: "letters",
    score: (samples) => samples.map(({ response }) => response.split("e").length - 1),
  },
  batchSize: 4,
  miniBatchSize: 4,
  epochs: 2,
  maxNewTokens: 6,
  freezeLayers: 2,
};

for (const [name, model] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: PPO on the layers above frozen ones begins with a ratio of 1 and a KL of 0`, () =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...OPTIONS, model, gpu, learningRate: 0 });
      const { metrics } = await trainer.trainStep(PROMPTS);
      assertEquals(metrics["ppo/policy/ratio"], 1);
      assertEquals(metrics["objective/kl_full"], 0);
    }));

  Deno.test(`${name}: PPO trains the layers above frozen ones, and these alone`, () =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...OPTIONS, model, gpu, learningRate: 1e-3 });
      const { policy, reference, optimizer } = trainer.run;
      assertEquals(optimizer.m.layout.specs, policy.trained.layout.specs);
      for (let step = 0; step < 2; step++) await trainer.trainStep(PROMPTS);
      for (const { name } of reference.layout.specs) {
        const [before, after] = [reference, policy].map(({ values }) => values.get(name));
        const isShared = before.storage === after.storage;
        assertEquals(isShared, /^(wte|wpe|h\.[01])\./.test(name), name);
        if (isShared) continue;
        const [old, trained] = await gpu.readAll([before, after]);
        assert(trained.every(Number.isFinite) && trained.some((x, i) => x !== old[i]), name);
      }
      assert((await trainer.evaluate(PROMPTS)).kl > 0);
    }));
}

Deno.test("train refuses to freeze more layers than there are", async () => {
  const args = ["--model", GPT2, "--freeze-layers", "9"];
  assertRefused(await runProgram("train", args), /Cannot freeze 9 layers: the model has 3;/);
});
