import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraError } from "../../model/lora.ts";
import { ConfigError } from "../../train/config.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { assertClose } from "../helpers/close.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { endOf, runProgram } from "../helpers/program.ts";

const PROMPTS = ["the movie", "hopefully, this picture will", "a", "it is"];

const LETTERS = {
  name: "letters",
  score: (samples: readonly { response: string }[]) =>
    samples.map(({ response }) => response.split("e").length - 1),
};

const OPTIONS: PpoTrainerOptions = {
  reward: LETTERS,
  batchSize: 4,
  miniBatchSize: 4,
  epochs: 2,
  maxNewTokens: 6,
  loraRank: 4,
};

for (const [name, model] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: PPO with adapters starts at its reference, and the ratio at 1`, () =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...OPTIONS, model, gpu, learningRate: 0 });
      const { metrics } = await trainer.trainStep(PROMPTS);
      assertEquals(metrics["ppo/policy/ratio"], 1);
      // Behind an adapter, the activation is a kernel of its own and rounds otherwise.
      assertClose([metrics["objective/kl_full"] ?? NaN], [0], { atol: 1e-6 });
    }));

  Deno.test(`${name}: PPO changes adapters and value head, and no weight of the reference`, () =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...OPTIONS, model, gpu, learningRate: 3e-3 });
      const { policy, reference, optimizer } = trainer.run;
      assert(reference.values === policy.values);
      assertEquals(optimizer.m.layout.specs, policy.trained.layout.specs);
      const before = await gpu.readAll(policy.values.chunks);
      const [first] = await gpu.readAll(policy.trained.chunks);
      for (let step = 0; step < 2; step++) await trainer.trainStep(PROMPTS);
      assertEquals(await gpu.readAll(policy.values.chunks), before);
      const [trained] = await gpu.readAll(policy.trained.chunks);
      assert(trained.every(Number.isFinite) && trained.some((x, i) => x !== first[i]));
      assert((await trainer.evaluate(PROMPTS)).kl > 0);
    }));
}

Deno.test("adapters for layers that the model does not have are refused, and nothing stays allocated", () =>
  withGpu(async (gpu) => {
    const options = { ...OPTIONS, model: GPT2, gpu };
    await assertRejects(
      () => PpoTrainer.create({ ...options, loraTargets: "c_attn, q_proj" }),
      LoraError,
      'Cannot adapt "q_proj"',
    );
    await assertRejects(
      () => PpoTrainer.create({ ...options, loraRank: 0, loraTargets: "c_attn" }),
      ConfigError,
      "targets are those of adapters",
    );
    assertEquals(gpu.liveBytes, 0);
  }));

Deno.test("train --lora-rank saves adapters in checkpoints, and on request the merged model", () =>
  withFolder(async (folder) => {
    const run = `${folder}/run`;
    const { code, stdout, stderr } = await runProgram("train", [
      ...["--model", GPT2, "--out", run, "--steps", "1", "--batch-size", "8"],
      ...["--max-new-tokens", "12", "--eval-responses", "2", "--learning-rate", "1e-2"],
      ...["--lora-rank", "2", "--lora-targets", "c_attn", "--save-merged"],
    ]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /: 112560 parameters, of adapters 1201 more, on /);
    const checkpoint = await listTree(`${run}/checkpoints/step-000001`);
    assert(checkpoint.includes("adapter_model.safetensors"), `${checkpoint}`);
    assert(!checkpoint.includes("model.safetensors"));
    assert((await listTree(`${run}/merged`)).includes("model.safetensors"));

    const klOf = async (model: string, remark: RegExp) => {
      const evaluation = await runProgram("eval", [
        ...[
          "--model",
          model,
          "--compare",
          GPT2,
          "--responses",
          "2",
          "--json",
          "--max-new-tokens",
          "4",
        ],
      ]);
      assertEquals(evaluation.code, 0);
      assertMatch(evaluation.stderr, remark);
      return endOf(evaluation).policy!.kl;
    };
    const kl = await klOf(run, /^\S+step-000001 holds adapters; they go on top of \S+gpt2\n$/);
    assert(kl > 0);
    const merged = await klOf(`${run}/merged`, /^$/);
    assertClose([merged], [kl], { atol: 1e-6 }); // loading merges too
  }));
