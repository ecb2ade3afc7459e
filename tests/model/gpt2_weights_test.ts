import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import type { CausalLM } from "../../model/causal_lm.ts";
import { initCausalLM, loadCausalLM } from "../../model/gpt2_weights.ts";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { openSafetensors, type TensorToWrite } from "../../weights/safetensors.ts";
import { assertClose } from "../helpers/close.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { changeWeights, copyGpt2, type ForwardGolden, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const HUB_NAMES = new URL("../fixtures/gpt2-hub-names", import.meta.url).pathname;

async function bits(gpu: Gpu, model: CausalLM): Promise<Uint32Array> {
  return new Uint32Array((await gpu.read(model.values.chunks[0])).buffer);
}

for (const [name, golden] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`savePretrained() writes the golden ${name} byte by byte as transformers does`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        using model = await loadCausalLM(gpu, golden);
        await model.savePretrained(`${folder}/saved`);
        const names = [
          "generation_config.json",
          "model.safetensors",
          "tokenizer.json",
          "tokenizer_config.json",
        ];
        assertEquals(await listTree(`${folder}/saved`), ["config.json", ...names]);
        for (const name of names) {
          const saved = await Deno.readFile(`${folder}/saved/${name}`);
          assertEquals(saved, await Deno.readFile(`${golden}/${name}`), name);
        }
        const read = async (path: string) => JSON.parse(await Deno.readTextFile(path));
        assertEquals(
          await read(`${folder}/saved/config.json`),
          await read(`${golden}/config.json`),
        );
      })
    ));
}

Deno.test("savePretrained() and loadCausalLM() keep every bit, the value head's too", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadCausalLM(gpu, GPT2, { valueHead: true });
      const { nEmbd } = model.config;
      const weight = Float32Array.from({ length: nEmbd }, (_, i) => Math.sin(i));
      gpu.write(model.values.get("v_head.summary.weight"), weight);
      gpu.write(model.values.get("v_head.summary.bias"), [-0.5]);
      await model.savePretrained(folder);
      {
        using file = await openSafetensors(`${folder}/model.safetensors`);
        assertEquals(file.tensors.get("v_head.summary.weight")?.shape, [1, nEmbd]);
        assertEquals(await file.read("v_head.summary.weight"), weight);
        assertEquals(await file.read("v_head.summary.bias"), Float32Array.of(-0.5));
      }
      using again = await loadCausalLM(gpu, folder, { valueHead: true });
      assertEquals(await bits(gpu, again), await bits(gpu, model));
      using trunk = await loadCausalLM(gpu, folder); // the head may be left out
      using golden = await loadCausalLM(gpu, GPT2);
      assertEquals(await bits(gpu, trunk), await bits(gpu, golden));
    })
  ));

Deno.test("savePretrained() writes a fresh model with its own head, which loads again", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using golden = await loadCausalLM(gpu, GPT2);
      const rng = new Rng(1);
      using model = initCausalLM(gpu, {
        config: { ...golden.config, tieWordEmbeddings: false },
        tokenizer: golden.tokenizer,
        normal: () => rng.normal(),
      });
      await model.savePretrained(folder);
      using again = await loadCausalLM(gpu, folder);
      assertEquals(again.config, model.config);
      assertEquals(await bits(gpu, again), await bits(gpu, model));
    })
  ));

Deno.test("loadCausalLM() reads the original checkpoint's names and leaves its mask buffers out", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await copyGpt2(folder);
      await Deno.copyFile(`${HUB_NAMES}/model.safetensors`, `${folder}/model.safetensors`);
      const expected: ForwardGolden = JSON.parse(
        await Deno.readTextFile(`${HUB_NAMES}/forward.json`),
      );
      using model = await loadCausalLM(gpu, folder);
      const { logprobs } = await model.logprobs({
        inputIds: expected.input_ids,
        attentionMask: expected.attention_mask,
      });
      const masked = (rows: number[][]) =>
        rows.flatMap((row, b) => row.filter((_, t) => expected.token_mask[b][t] === 1));
      // Both sides round in float32 through three layers and sums over 512 logits.
      assertClose(masked(logprobs), masked(expected.token_logprobs), { atol: 1e-4 });
      await model.savePretrained(`${folder}/saved`);
      using file = await openSafetensors(`${folder}/saved/model.safetensors`);
      const names = [...file.tensors.keys()];
      assert(names.every((name) => name.startsWith("transformer.") && !/\.attn\.bias$/.test(name)));
    })
  ));

Deno.test("loadCausalLM() leaves out what old GPT-Neo checkpoints hold beside parameters", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      for (const name of ["config.json", "model.safetensors", "tokenizer.json"]) {
        await Deno.copyFile(`${GPT_NEO}/${name}`, `${folder}/${name}`);
      }
      const mask = "transformer.h.1.attn.attention.bias";
      const fill = "transformer.h.1.attn.attention.masked_bias";
      await changeWeights(folder, (tensors) => [
        ...tensors,
        { name: mask, shape: [1, 1, 2, 2], data: Float32Array.of(1, 0, 1, 1) },
        { name: fill, shape: [], data: Float32Array.of(-1e9) },
        {
          ...tensors.find(({ name }) => name === "transformer.wte.weight")!,
          name: "lm_head.weight",
        },
      ]);
      using model = await loadCausalLM(gpu, folder);
      using golden = await loadCausalLM(gpu, GPT_NEO);
      assertEquals(await bits(gpu, model), await bits(gpu, golden));
    })
  ));

const LN = "transformer.h.1.ln_2.weight";

const BROKEN: {
  what: string;
  change: (tensors: TensorToWrite[]) => TensorToWrite[];
  says: RegExp;
}[] = [
  {
    what: "a missing tensor",
    change: (tensors) => tensors.filter(({ name }) => name !== LN),
    says: /model\.safetensors: it has no tensor "transformer\.h\.1\.ln_2\.weight"/,
  },
  {
    what: "a tensor of the wrong shape",
    change: (tensors) =>
      tensors.map((tensor) =>
        tensor.name === LN ? { name: LN, shape: [47], data: new Float32Array(47) } : tensor
      ),
    says: /model\.safetensors: tensor "transformer\.h\.1\.ln_2\.weight" has the shape \[47\]/,
  },
  {
    what: "a tensor that is no part of a GPT-2",
    change: (
      tensors,
    ) => [...tensors, { name: "extra.weight", shape: [1], data: Float32Array.of(1) }],
    says: /model\.safetensors: tensor "extra\.weight" is not part of a GPT-2/,
  },
];

for (const { what, change, says } of BROKEN) {
  Deno.test(`loadCausalLM() refuses ${what}, by name, and frees what it took`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        await copyGpt2(folder);
        await changeWeights(folder, change);
        const { message } = await assertRejects(() => loadCausalLM(gpu, folder), ModelFolderError);
        assert(says.test(message) && message.includes(folder), message);
        assertEquals(gpu.liveBytes, 0);
      })
    ));
}

Deno.test("loadCausalLM() refuses a tokenizer with more tokens than the model", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await copyGpt2(folder);
      const path = `${folder}/config.json`;
      const config = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...config, vocab_size: 500 }));
      await assertRejects(() => loadCausalLM(gpu, folder), ModelFolderError, "512 tokens");
    })
  ));
