import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import { parseAdapterConfig, toPeftConfig } from "../../model/adapter_config.ts";
import { mergeAdapters, readAdapters } from "../../model/adapter_folder.ts";
import type { CausalLM } from "../../model/causal_lm.ts";
import { ModelConfigError } from "../../model/config_json.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { openSafetensors } from "../../weights/safetensors.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { type ForwardGolden, golden, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const { input_ids: inputIds, attention_mask: attentionMask } = await golden<ForwardGolden>(
  "forward",
);

function loadFresh(gpu: Gpu, folder: string, seed: number, targets: string[] = []) {
  const rng = new Rng(seed);
  const lora = { rank: 2, alpha: 3, targets, uniform: () => rng.next() };
  return loadCausalLM(gpu, folder, { train: true, valueHead: true, lora });
}

/** A model whose adapters and value head are no longer what they began as. */
async function loadTrained(gpu: Gpu, folder: string, targets?: string[]): Promise<CausalLM> {
  const model = await loadFresh(gpu, folder, 1, targets);
  for (const [seed, chunk] of model.trained.chunks.entries()) {
    gpu.write(chunk, randn(chunk.size, seed).map((x) => 0.1 * x));
  }
  return model;
}

async function logprobs(model: CausalLM): Promise<number[]> {
  return (await model.logprobs({ inputIds, attentionMask })).logprobs.flat();
}

async function trainedOf({ gpu, trained }: CausalLM): Promise<[string, Float32Array][]> {
  const { specs } = trained.layout;
  const data = await gpu.readAll(specs.map(({ name }) => trained.get(name)));
  return specs.map(({ name }, i) => [name, data[i] as Float32Array]);
}

for (const [name, source] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: savePretrained() keeps every bit of adapters and value head`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        using model = await loadTrained(gpu, source);
        await model.savePretrained(`${folder}/saved`);
        using again = await loadFresh(gpu, source, 2);
        await readAdapters(again, `${folder}/saved`);
        assertEquals(await trainedOf(again), await trainedOf(model));
      })
    ));

  Deno.test(`${name}: adapters merge when they are loaded, saved merged, or asked to`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        using model = await loadTrained(gpu, source);
        const expected = await logprobs(model);
        // x W + s x A B against x (W + s A B): roundings through all layers.
        const close = { atol: 1e-4 };
        await model.savePretrained(`${folder}/adapters`);
        await model.savePretrained(`${folder}/merged`, { merged: true });
        assertClose(await logprobs(model), expected, { atol: 0 }); // saving changes nothing
        for (const path of [`${folder}/adapters`, `${folder}/merged`]) {
          using merged = await loadCausalLM(gpu, path, { valueHead: true });
          assertClose(await logprobs(merged), expected, close, path);
          for (const head of ["v_head.summary.weight", "v_head.summary.bias"]) {
            const [saved, trained] = [merged.values.get(head), model.trained.get(head)];
            assertEquals(await gpu.read(saved), await gpu.read(trained));
          }
        }
        using plain = await loadCausalLM(gpu, source);
        await mergeAdapters(plain, `${folder}/adapters`);
        assertClose(await logprobs(plain), expected, close);
      })
    ));
}

Deno.test("savePretrained() names adapters and their matrices as PEFT does", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      const layer = "base_model.model.transformer.h.0";
      const cases = [
        {
          source: GPT2,
          targets: ["c_attn"],
          fanInFanOut: true,
          shapes: { [`${layer}.attn.c_attn.lora_A.weight`]: [2, 48] as const },
          B: [`${layer}.attn.c_attn.lora_B.weight`, [144, 2]] as const,
        },
        {
          source: GPT_NEO,
          targets: ["q_proj", "c_fc"],
          fanInFanOut: false,
          shapes: { [`${layer}.attn.attention.q_proj.lora_A.weight`]: [2, 32] as const },
          B: [`${layer}.mlp.c_fc.lora_B.weight`, [128, 2]] as const,
        },
      ];
      for (const { source, targets, fanInFanOut, shapes, B } of cases) {
        using model = await loadTrained(gpu, source, targets);
        await model.savePretrained(folder, { card: "# Adapters\n" });
        assertEquals(await listTree(folder), [
          "README.md",
          "adapter_config.json",
          "adapter_model.safetensors",
          "tokenizer.json",
          "tokenizer_config.json",
        ]);
        const config = JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`));
        assertEquals(config.peft_type, "LORA");
        assertEquals(config.base_model_name_or_path, source);
        assertEquals([config.r, config.lora_alpha, config.target_modules], [2, 3, targets]);
        assertEquals(config.fan_in_fan_out, fanInFanOut);
        using file = await openSafetensors(`${folder}/adapter_model.safetensors`);
        const { nLayer } = model.config;
        assertEquals(file.tensors.size, 2 * targets.length * nLayer + 2); // and the value head
        for (const [tensor, shape] of [...Object.entries(shapes), B]) {
          assertEquals(file.tensors.get(tensor)?.shape, [...shape], tensor);
        }
      }
    })
  ));

Deno.test("a folder changes from a model to adapters and back, and nothing is left over", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadTrained(gpu, GPT2);
      const path = `${folder}/model`;
      await model.savePretrained(path, { merged: true });
      await Deno.writeTextFile(`${path}/notes.txt`, "kept");
      await model.savePretrained(path);
      const adapters = ["adapter_config.json", "adapter_model.safetensors"];
      const tokenizer = ["tokenizer.json", "tokenizer_config.json"];
      const kept = ["generation_config.json", "notes.txt"];
      assertEquals(await listTree(path), [...adapters, ...kept, ...tokenizer]);
      await model.savePretrained(path, { merged: true });
      const whole = ["config.json", kept[0], "model.safetensors", kept[1]];
      assertEquals(await listTree(path), [...whole, ...tokenizer]);
    })
  ));

Deno.test("adapters of a merged model name the folder that it came from, and load in turn", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using first = await loadTrained(gpu, GPT2, ["c_attn"]);
      await first.savePretrained(`${folder}/first`);
      using second = await loadTrained(gpu, `${folder}/first`, ["c_fc"]);
      await second.savePretrained(`${folder}/second`);
      using both = await loadCausalLM(gpu, `${folder}/second`);
      assertClose(await logprobs(both), await logprobs(second), { atol: 1e-4 });
    })
  ));

Deno.test("loadCausalLM() refuses adapters that do not fit, or whose model is missing", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadTrained(gpu, GPT2);
      await model.savePretrained(folder);
      const path = `${folder}/adapter_config.json`;
      const config = JSON.parse(await Deno.readTextFile(path));
      const refuse = async (change: Record<string, unknown>, says: string) => {
        await Deno.writeTextFile(path, JSON.stringify({ ...config, ...change }));
        const bytes = gpu.liveBytes;
        const error = await assertRejects(() => loadCausalLM(gpu, folder));
        assert((error as Error).message.includes(says), (error as Error).message);
        assertEquals(gpu.liveBytes, bytes);
      };
      await refuse({ base_model_name_or_path: `${folder}/none` }, "there is no such folder");
      await refuse({ base_model_name_or_path: folder }, "whole model");
      await refuse({ r: 3 }, "adapter_config.json makes it [3,48]");
      gpu.peakBytes = gpu.liveBytes;
      for (const r of [1e6, 1e9, 2 ** 53 - 1]) await refuse({ r }, "adapter_config.json makes it");
      assert(gpu.peakBytes - gpu.liveBytes < 2e6, "no memory but that of the base model");
      await refuse({ target_modules: ["c_attn"] }, "c_proj.lora_A.weight");
      await refuse({ target_modules: ["k_proj"] }, '"k_proj"');
      await refuse({ base_model_name_or_path: GPT_NEO }, '"c_attn"');
      await Deno.remove(`${folder}/adapter_model.safetensors`);
      await refuse({}, "adapter_model.safetensors is missing");
      using other = await loadFresh(gpu, GPT_NEO, 1);
      await assertRejects(() => readAdapters(other, folder), ModelFolderError);
    })
  ));

const CONFIG = { rank: 4, alpha: 8, targets: ["c_attn"], baseModel: "/models/gpt2" };

Deno.test("toPeftConfig() is read back, with a revision where the model has one", () => {
  const hub = "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e";
  for (const baseModel of ["/models/gpt2", "/odd/name@home", "gpt2", hub]) {
    const json = toPeftConfig({ ...CONFIG, baseModel }, { fanInFanOut: true });
    assertEquals(parseAdapterConfig(json, ""), { ...CONFIG, baseModel });
  }
  const json = toPeftConfig({ ...CONFIG, baseModel: hub }, { fanInFanOut: true });
  assertEquals(json.base_model_name_or_path, "openai-community/gpt2");
  assertEquals(json.revision, hub.split("@")[1]);
});

const REFUSED: [change: Record<string, unknown>, says: string][] = [
  [{ peft_type: "IA3" }, 'peft_type is "IA3", it must be "LORA"'],
  [{ use_dora: true }, "use_dora is true"],
  [{ use_rslora: true }, "use_rslora is true"],
  [{ bias: "all" }, 'bias is "all"'],
  [{ rank_pattern: { c_attn: 8 } }, "rank_pattern is"],
  [{ modules_to_save: ["lm_head"] }, "modules_to_save is"],
  [{ layers_to_transform: [1] }, "layers_to_transform is [1]"],
  [{ layers_to_transform: 1 }, "layers_to_transform is 1"],
  [{ trainable_token_indices: [0] }, "trainable_token_indices is [0]"],
  [{ use_qalora: true }, "use_qalora is true"],
  [{ init_lora_weights: "pissa_niter_16" }, 'init_lora_weights is "pissa_niter_16"'],
  [{ target_modules: "all-linear" }, 'target_modules is "all-linear"'],
  [{ target_modules: [1] }, "target_modules is [1]"],
  [{ base_model_name_or_path: null }, "base_model_name_or_path is null"],
  [{ r: 0 }, "r is 0"],
  [{ lora_alpha: "16" }, 'lora_alpha is "16"'],
];
for (const [change, says] of REFUSED) {
  Deno.test(`parseAdapterConfig() refuses ${Deno.inspect(change)}`, () => {
    const json = { ...toPeftConfig(CONFIG, { fanInFanOut: true }), ...change };
    const parse = () => parseAdapterConfig(json, "adapter_config.json");
    assertThrows(parse, ModelConfigError, says);
  });
}
