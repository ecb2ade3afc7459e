import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import type { CausalLM } from "../../model/causal_lm.ts";
import { loadCausalLM, type LoadOptions } from "../../model/gpt2_weights.ts";
import { LoraError } from "../../model/lora.ts";
import { Rng } from "../../train/rng.ts";
import { SftTrainer } from "../../train/sft_trainer.ts";
import { withFolder } from "../helpers/folder.ts";
import { type ForwardGolden, golden, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const { input_ids: inputIds, attention_mask: attentionMask } = await golden<ForwardGolden>(
  "forward",
);

function load(gpu: Gpu, folder: string, options: LoadOptions = {}): Promise<CausalLM> {
  return loadCausalLM(gpu, folder, { train: true, ...options });
}

/** Steps of fine-tuning on the golden batch. */
async function train(model: CausalLM, steps: number, learningRate: number): Promise<void> {
  using trainer = new SftTrainer(model, { learningRate: () => learningRate });
  for (let step = 0; step < steps; step++) await trainer.step({ inputIds, attentionMask });
}

/** All parameters of a model by name. */
async function parametersOf({ gpu, layout, values }: CausalLM): Promise<Map<string, Float32Array>> {
  const read = await gpu.readAll(layout.specs.map(({ name }) => values.get(name)));
  return new Map(layout.specs.map(({ name }, i) => [name, read[i] as Float32Array]));
}

const MODELS = { "GPT-2": { folder: GPT2, layers: 3 }, "GPT-Neo": { folder: GPT_NEO, layers: 4 } };

for (const [name, { folder, layers }] of Object.entries(MODELS)) {
  Deno.test(`${name}: gradients above frozen blocks are those of full training, bit by bit`, () =>
    withGpu(async (gpu) => {
      using whole = await load(gpu, folder);
      await train(whole, 1, 0);
      for (const frozenBlocks of [1, layers - 1, layers]) {
        using model = await load(gpu, folder, { frozenBlocks });
        await train(model, 1, 0);
        const { specs } = model.grads!.layout;
        assert(specs.length < whole.layout.specs.length);
        for (const { name } of specs) {
          assertEquals(
            await gpu.read(model.grads!.get(name)),
            await gpu.read(whole.grads!.get(name)),
          );
        }
      }
    }));

  Deno.test(`${name}: training leaves frozen blocks and the reference as they were`, () =>
    withGpu(async (gpu) => {
      using model = await load(gpu, folder, { frozenBlocks: 2 });
      const before = await parametersOf(model);
      using reference = model.reference();
      assertEquals(await parametersOf(reference), before);
      const scores = await model.logprobs({ inputIds, attentionMask });

      await train(model, 3, 1e-3);
      for (const [name, values] of await parametersOf(model)) {
        const frozen = /^(wte|wpe|h\.[01])\./.test(name);
        if (frozen) assertEquals(values, before.get(name), name);
        else assertNotEquals(values, before.get(name), name);
      }
      assertNotEquals(await model.logprobs({ inputIds, attentionMask }), scores);
      assertEquals(await reference.logprobs({ inputIds, attentionMask }), scores);
    }));

  Deno.test(`${name}: what is frozen has no gradient, and the reference no copy of it`, () =>
    withGpu(async (gpu) => {
      const bytesWith = async (frozenBlocks: number) => {
        const before = gpu.liveBytes;
        using model = await load(gpu, folder, { frozenBlocks });
        using _reference = model.reference();
        return { bytes: gpu.liveBytes - before, model };
      };
      const { bytes: all } = await bytesWith(0);
      const { bytes, model } = await bytesWith(2);
      const frozen = model.layout.count - model.trained.layout.count;
      assertEquals(model.grads!.layout.count, model.trained.layout.count);
      const saved = 2 * 4 * frozen; // gradients, and the reference's parameters
      assert(Math.abs(all - bytes - saved) < 4096, `${all - bytes} bytes saved, not ${saved}`);
    }));

  Deno.test(`${name}: a model with frozen blocks is saved whole`, () =>
    withFolder((path) =>
      withGpu(async (gpu) => {
        using model = await load(gpu, folder, { frozenBlocks: 1, valueHead: true });
        await train(model, 1, 1e-3);
        await model.savePretrained(`${path}/saved`);
        using saved = await load(gpu, `${path}/saved`, { valueHead: true });
        assertEquals(await parametersOf(saved), await parametersOf(model));
      })
    ));
}

Deno.test("adapters are above frozen blocks only", () =>
  withGpu(async (gpu) => {
    const rng = new Rng(1);
    const lora = { rank: 2, alpha: 4, targets: ["c_attn"], uniform: () => rng.next() };
    using model = await load(gpu, GPT2, { frozenBlocks: 2, lora });
    assertEquals(model.adapters!.names, ["h.2.attn.c_attn"]);
    using whole = await load(gpu, GPT2, { lora });
    const { logprobs } = await whole.logprobs({ inputIds, attentionMask });
    assertEquals((await model.logprobs({ inputIds, attentionMask })).logprobs, logprobs);
    await train(model, 1, 1e-3);
    assertNotEquals((await model.logprobs({ inputIds, attentionMask })).logprobs, logprobs);
    await assertRejects(
      () => load(gpu, GPT2, { frozenBlocks: 3, lora }),
      LoraError,
      "freeze fewer",
    );
  }));

Deno.test("more blocks than the model has cannot be frozen", () =>
  withGpu(async (gpu) => {
    for (const frozenBlocks of [4, -1, 1.5]) {
      await assertRejects(() => load(gpu, GPT2, { frozenBlocks }), RangeError, "the model has 3;");
    }
    assertEquals(gpu.liveBytes, 0);
  }));
