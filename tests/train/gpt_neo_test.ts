import { assert, assertEquals } from "@std/assert";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { assertClose } from "../helpers/close.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

/** Longer than the window of eight tokens, by far and by one. */
const PROMPTS = ["hopefully, this picture will move on from there", "it is a film"];

const LETTERS = {
  name: "letters",
  score: (samples: readonly { response: string }[]) =>
    samples.map(({ response }) => response.split("e").length - 1),
};

const OPTIONS = {
  model: GPT_NEO,
  reward: LETTERS,
  batchSize: 2,
  miniBatchSize: 2,
  epochs: 1,
  maxNewTokens: 12,
};

Deno.test("PPO on a GPT-Neo: sampling with the cache and training without it agree", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({ ...OPTIONS, gpu, learningRate: 0 });
    const { metrics } = await trainer.trainStep(PROMPTS);
    // The scores that PPO calls old come from the kernels of the update.
    assertEquals(metrics["ppo/policy/ratio"], 1);
    const { ids: [ids], logprobs: [sampled] } = await trainer.policy.generate([PROMPTS[0]], {
      maxNewTokens: 12,
      stop: [],
    });
    const prompt = trainer.policy.tokenizer.encode(PROMPTS[0]);
    const { logprobs: [all] } = await trainer.policy.logprobs({ inputIds: [[...prompt, ...ids]] });
    assertClose(sampled, all.slice(prompt.length - 1), { atol: 1e-4 }); // nats; another order of sums
  }));

Deno.test("PPO on a GPT-Neo changes it, and what it saves can be loaded", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using trainer = await PpoTrainer.create({ ...OPTIONS, gpu, learningRate: 1e-3 });
      const before = await gpu.read(trainer.policy.values.get("h.1.attn.c_attn.weight"));
      await trainer.trainStep(PROMPTS);
      const after = await gpu.read(trainer.policy.values.get("h.1.attn.c_attn.weight"));
      assert(after.every(Number.isFinite) && after.some((x, i) => x !== before[i]));
      await trainer.save(`${folder}/saved`);
      using saved = await loadCausalLM(gpu, `${folder}/saved`, { valueHead: true });
      assertEquals(await gpu.read(saved.values.get("h.1.attn.c_attn.weight")), after);
    })
  ));
