import { assertEquals, assertThrows } from "@std/assert";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { SftTrainer } from "../../train/sft_trainer.ts";
import { assertClose } from "../helpers/close.ts";
import { type ForwardGolden, golden, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const { input_ids: inputIds, attention_mask: attentionMask } = await golden<ForwardGolden>(
  "forward",
);

for (const [name, folder] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: step() takes PyTorch's ten AdamW steps`, () =>
    withGpu(async (gpu) => {
      const adamw = await golden<{
        loss_and_grad_norm: [number, number][];
        learning_rate: number;
        weight_decay: number;
      }>("adamw", folder);
      const batch = await golden<ForwardGolden>("forward", folder);
      using model = await loadCausalLM(gpu, folder, { train: true });
      using trainer = new SftTrainer(model, {
        learningRate: () => adamw.learning_rate,
        weightDecay: adamw.weight_decay,
      });
      for (const [step, expected] of adamw.loss_and_grad_norm.entries()) {
        const { loss, gradNorm } = await trainer.step({
          inputIds: batch.input_ids,
          attentionMask: batch.attention_mask,
        });
        // Adam divides by the root of tiny second moments, so rounding grows with the steps.
        assertClose([loss, gradNorm], expected, { atol: 1e-4, rtol: 2e-4 }, `step ${step}`);
      }
    }));
}

Deno.test("gradient accumulation gives the gradient of the large batch", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2, { train: true });
    const gradients: Float32Array[] = [];
    const losses: number[] = [];
    for (const gradientAccumulation of [1, 2, 4]) {
      using trainer = new SftTrainer(model, { learningRate: () => 0, gradientAccumulation });
      losses.push((await trainer.step({ inputIds, attentionMask })).loss);
      gradients.push(await gpu.read(model.grads!.chunks[0]));
    }
    for (const accumulated of gradients.slice(1)) {
      assertClose(accumulated, gradients[0], { atol: 1e-6, rtol: 1e-4 }); // another order of sums
    }
    assertClose(losses, losses.map(() => losses[0]), { atol: 1e-5 });
  }));

Deno.test("the same steps give the same bits", () =>
  withGpu(async (gpu) => {
    const runs: number[][] = [];
    for (let run = 0; run < 2; run++) {
      using model = await loadCausalLM(gpu, GPT2, { train: true });
      using trainer = new SftTrainer(model, { learningRate: () => 1e-3 });
      for (let step = 0; step < 3; step++) await trainer.step({ inputIds, attentionMask });
      runs.push(Array.from(await gpu.read(model.values.chunks[0])));
    }
    assertEquals(runs[0], runs[1]);
  }));

Deno.test("a batch without targets, or one that accumulation cannot split, is refused", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2, { train: true });
    using trainer = new SftTrainer(model, { learningRate: () => 1, gradientAccumulation: 3 });
    const refused = (rows: number[][]) => trainer.step({ inputIds: rows }).then(() => "", String);
    assertEquals((await refused([[1], [2], [3]])).includes("no token follows another"), true);
    assertEquals((await refused([[1, 2], [3, 4]])).includes("must be a multiple"), true);
    assertThrows(() => model.upload({ inputIds: [] }), RangeError, "there are no tokens");
  }));
