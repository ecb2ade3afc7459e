import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Arena, type Gpu, type Tensor } from "../../kernels/runtime/mod.ts";
import type { CausalLM } from "../../model/causal_lm.ts";
import { Gradients } from "../../model/gradients.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { linear, linearBackward } from "../../model/layers.ts";
import { Adapters, LoraError } from "../../model/lora.ts";
import { linearParameters, type NamedTensors, ParameterLayout } from "../../model/params.ts";
import { Rng } from "../../train/rng.ts";
import { SftTrainer } from "../../train/sft_trainer.ts";
import { assertClose, numericGradient, randn } from "../helpers/close.ts";
import { type ForwardGolden, golden, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { type LoraLayer, loraLinear } from "../reference/lora.ts";

const { input_ids: inputIds, attention_mask: attentionMask } = await golden<ForwardGolden>(
  "forward",
);

/** A model with adapters of rank 3 that do something: B is random too. */
async function adapted(gpu: Gpu, folder: string, targets: string[] = []): Promise<CausalLM> {
  const rng = new Rng(1);
  const lora = { rank: 3, alpha: 6, targets, uniform: () => rng.next() };
  const model = await loadCausalLM(gpu, folder, { train: true, valueHead: true, lora });
  for (const { name, shape } of model.trained.layout.specs) {
    if (!name.endsWith("lora_B.weight")) continue;
    const tensor = model.trained.get(name);
    gpu.write(tensor, randn(shape[0] * shape[1], 2).map((x) => 0.1 * x));
  }
  return model;
}

const LAYERS: LoraLayer[] = [
  { N: 1, inputs: 1, outputs: 1, rank: 1, scale: 1, from: 0, to: 1 },
  { N: 7, inputs: 12, outputs: 20, rank: 4, scale: 0.5, from: 0, to: 20 },
  { N: 5, inputs: 9, outputs: 131, rank: 3, scale: -2, from: 64, to: 131 },
];

for (const layer of LAYERS) {
  Deno.test(`linear() and linearBackward() with an adapter match f64: ${Deno.inspect(layer)}`, () =>
    withGpu(async (gpu) => {
      const { N, inputs, outputs, rank, scale, from, to } = layer;
      // The parts of a stored parameter say which columns an adapter is for; the last one here has it.
      const width = to - from;
      const stored = [from, width].filter((columns) => columns > 0).map((columns, part) => ({
        name: part === 0 && from > 0 ? "h.0.first.weight" : "h.0.last.weight",
        shape: [columns, inputs],
      }));
      const specs = [
        { name: "h.0.fc.weight", shape: [outputs, inputs], stored },
        { name: "h.0.fc.bias", shape: [outputs] },
      ];
      const adapters = new Adapters({ rank, alpha: scale * rank, targets: ["last"] }, specs);
      const host = {
        x: randn(N * inputs, 1),
        W: randn(inputs * outputs, 2),
        bias: randn(outputs, 3),
        A: randn(inputs * rank, 4),
        B: randn(rank * width, 5),
      };
      const dy = randn(N * outputs, 6);
      const names = { A: "h.0.last.lora_A.weight", B: "h.0.last.lora_B.weight" };
      const tensors: Record<string, Tensor> = {
        "h.0.fc.weight": gpu.tensor(host.W, [outputs, inputs]),
        "h.0.fc.bias": gpu.tensor(host.bias),
        [names.A]: gpu.tensor(host.A, [rank, inputs]),
        [names.B]: gpu.tensor(host.B, [width, rank]),
      };
      const values: NamedTensors = { has: (name) => name in tensors, get: (name) => tensors[name] };
      const layout = new ParameterLayout(adapters.parameters, gpu.bindingBytes);
      const grads = Gradients.allocate(gpu, layout);
      const [x, out, dout, dx] = [
        gpu.tensor(host.x, [N, inputs]),
        gpu.empty([N, outputs]),
        gpu.tensor(dy, [N, outputs]),
        gpu.tensor(new Float32Array(N * inputs).fill(NaN), [N, inputs]),
      ];
      using arena = new Arena(gpu, "test");

      const pass = gpu.record();
      const context = { pass, values, grads, arena, adapters };
      linear(context, { name: "h.0.fc", x, out });
      linearBackward(context, { name: "h.0.fc", x, dout, dx });
      pass.submit();

      // Sums of some dozens of products of order one in f32.
      assertClose(await gpu.read(out), loraLinear(layer, host), { atol: 1e-5 }, "out");
      const gradient = (name: "x" | "A" | "B") =>
        numericGradient(
          (at) => loraLinear(layer, { ...host, [name]: at }).reduce((l, y, i) => l + y * dy[i], 0),
          host[name],
        );
      const close = { atol: 2e-4, rtol: 1e-5 }; // two such sums, one after the other, of up to 700 products
      assertClose(await gpu.read(dx), gradient("x"), close, "dx");
      assertClose(await gpu.read(grads.get(names.A)), gradient("A"), close, "dA");
      assertClose(await gpu.read(grads.get(names.B)), gradient("B"), close, "dB");
      grads.free(gpu);
      gpu.free(...Object.values(tensors), x, out, dout, dx);
    }));
}

for (const [name, folder] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: gradients of adapters are those of the merged weights, by the chain rule`, () =>
    withGpu(async (gpu) => {
      using model = await adapted(gpu, folder);
      using merged = await loadCausalLM(gpu, folder, { train: true });
      const pass = gpu.record();
      for (const layer of model.adapters!.names) {
        const weight = merged.values.get(`${layer}.weight`);
        model.adapters!.merge(pass, { name: layer, weight, values: model.trained });
      }
      pass.submit();
      const losses = [];
      for (const each of [model, merged]) {
        using trainer = new SftTrainer(each, { learningRate: () => 0 });
        losses.push((await trainer.step({ inputIds, attentionMask })).loss);
      }
      assertClose([losses[0]], [losses[1]], { atol: 1e-5 });

      const { scale, layers, options: { rank } } = model.adapters!;
      for (const { name, layer, inputs, from, to } of layers) {
        const of = (matrix: "A" | "B") => `${name}.lora_${matrix}.weight`;
        const [A, B] = [
          await gpu.read(model.trained.get(of("A"))),
          await gpu.read(model.trained.get(of("B"))),
        ];
        const dW = await gpu.read(merged.grads!.get(`${layer}.weight`));
        const dA = new Float64Array(A.length);
        const dB = new Float64Array(B.length);
        for (let i = 0; i < inputs; i++) {
          for (let j = from; j < to; j++) {
            const d = scale * dW[j * inputs + i];
            for (let r = 0; r < rank; r++) {
              dA[r * inputs + i] += d * B[(j - from) * rank + r];
              dB[(j - from) * rank + r] += d * A[r * inputs + i];
            }
          }
        }
        // Sums over a hundred tokens in f32, in two orders.
        const close = (exact: Float64Array) => ({
          atol: 2e-5 * Math.max(...exact.map(Math.abs)),
          rtol: 1e-3,
        });
        assertClose(await gpu.read(model.grads!.get(of("A"))), dA, close(dA), of("A"));
        assertClose(await gpu.read(model.grads!.get(of("B"))), dB, close(dB), of("B"));
      }
    }));

  Deno.test(`${name}: fresh adapters change nothing, and the model without them stays what it was`, () =>
    withGpu(async (gpu) => {
      using plain = await loadCausalLM(gpu, folder);
      const { logprobs: expected } = await plain.logprobs({ inputIds, attentionMask });
      const rng = new Rng(1);
      const lora = { rank: 4, alpha: 8, targets: [], uniform: () => rng.next() };
      using fresh = await loadCausalLM(gpu, folder, { lora });
      const close = { atol: 1e-5 }; // the activation is a kernel of its own behind an adapter
      const { logprobs } = await fresh.logprobs({ inputIds, attentionMask });
      assertClose(logprobs.flat(), expected.flat(), close);

      using model = await adapted(gpu, folder);
      const bytes = gpu.liveBytes;
      using reference = model.reference();
      assertEquals(gpu.liveBytes, bytes); // not a second copy
      const changed = await model.logprobs({ inputIds, attentionMask });
      assert(changed.logprobs.flat().some((lp, i) => Math.abs(lp - expected.flat()[i]) > 0.01));
      assertEquals(
        await reference.logprobs({ inputIds, attentionMask }),
        await plain.logprobs({
          inputIds,
          attentionMask,
        }),
      );
    }));

  Deno.test(`${name}: training with adapters changes these alone, and lowers the loss`, () =>
    withGpu(async (gpu) => {
      using model = await adapted(gpu, folder);
      assert(model.grads!.layout.count < model.layout.count / 2);
      const before = await gpu.readAll(model.values.chunks);
      using trainer = new SftTrainer(model, { learningRate: () => 3e-3 });
      assertEquals(trainer.optimizer.m.layout, model.trained.layout);
      const losses = [];
      for (let step = 0; step < 5; step++) {
        losses.push((await trainer.step({ inputIds, attentionMask })).loss);
      }
      assert(losses[4] < losses[0] - 0.1, `${losses}`);
      assertEquals(await gpu.readAll(model.values.chunks), before);
    }));

  Deno.test(`${name}: generate() with adapters reports the log-probabilities that logprobs() computes`, () =>
    withGpu(async (gpu) => {
      using model = await adapted(gpu, folder);
      const prompt = inputIds[3].slice(0, 12);
      const { ids: [ids], logprobs: [sampled] } = await model.generate([prompt], {
        maxNewTokens: 12,
        stop: [],
      });
      const { logprobs: [all] } = await model.logprobs({ inputIds: [[...prompt, ...ids]] });
      assertClose(sampled, all.slice(prompt.length - 1), { atol: 1e-4 }); // as without adapters
    }));
}

Deno.test("targets are whole names or their ends, and must exist", () =>
  withGpu(async (gpu) => {
    const namesOf = async (folder: string, targets: string[]) => {
      using model = await adapted(gpu, folder, targets);
      return model.adapters!.layers.map(({ name }) => name);
    };
    const all = await namesOf(GPT2, []);
    assertEquals(all.length, 12);
    assertEquals(await namesOf(GPT2, ["c_attn", "c_proj", "c_fc"]), all);
    assertEquals(
      await namesOf(GPT2, ["attn.c_proj"]),
      [0, 1, 2].map((l) => `h.${l}.attn.c_proj`),
    );
    assertEquals(await namesOf(GPT2, ["transformer.h.1.mlp.c_fc"]), ["h.1.mlp.c_fc"]);
    assertEquals((await namesOf(GPT_NEO, ["q_proj", "v_proj"])).slice(0, 3), [
      "h.0.attn.attention.q_proj",
      "h.0.attn.attention.v_proj",
      "h.1.attn.attention.q_proj",
    ]);
    const says = /"q_proj".*use some of c_attn, c_proj, c_fc/;
    const error = await assertRejects(() => adapted(gpu, GPT2, ["c_attn", "q_proj"]), LoraError);
    assert(says.test(error.message), error.message);
    await assertRejects(() => adapted(gpu, GPT2, ["proj"]), LoraError); // not a whole word
    assertEquals(gpu.liveBytes, 0);
  }));

Deno.test("a rank that is no whole number above 0 is refused", () => {
  const specs = linearParameters("h.0.fc", { inputs: 4, outputs: 4 });
  for (const rank of [0, -1, 1.5, NaN]) {
    assertThrows(() => new Adapters({ rank, alpha: 1, targets: [] }, specs), LoraError, `${rank}`);
  }
});
