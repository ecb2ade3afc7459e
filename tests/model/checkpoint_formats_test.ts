/** GPT-2 in every form of storage that transformers writes, in and out. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import type { SaveOptions } from "../../model/save.ts";
import { placeOf } from "../../model/token_batch.ts";
import { SafetensorsError } from "../../weights/errors.ts";
import { assertClose } from "../helpers/close.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { changeWeights, copyGpt2, type ForwardGolden, golden, GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const folderOf = (name: string) => new URL(`../fixtures/${name}`, import.meta.url).pathname;

/** Each golden, and the options with which it was saved. */
const FORMS: Record<string, SaveOptions> = {
  "gpt2-f16": { dtype: "float16" },
  "gpt2-bf16": { dtype: "bfloat16" },
  "gpt2-sharded": { maxShardBytes: 150_000 },
};

for (const [name, options] of Object.entries(FORMS)) {
  const folder = folderOf(name);

  Deno.test(`loadCausalLM() reads ${name} as transformers does`, () =>
    withGpu(async (gpu) => {
      const forward = await golden<ForwardGolden>("forward", folder);
      const { input_ids: inputIds, attention_mask: attentionMask } = forward;
      using model = await loadCausalLM(gpu, folder);

      const scores = await model.logprobs({ inputIds, attentionMask });
      const masked = (rows: number[][]) =>
        rows.flatMap((row, b) => row.filter((_, t) => forward.token_mask[b][t] === 1));
      // Both sides compute in float32, from the same stored weights, through three layers.
      assertClose(masked(scores.logprobs), masked(forward.token_logprobs), { atol: 1e-4 });
      assertClose(masked(scores.entropy), masked(forward.entropy), { atol: 1e-4 });

      const batch = model.upload({ inputIds, attentionMask });
      const pass = gpu.record();
      const logits = model.head.logits(pass, model.forward(pass, batch));
      pass.submit();
      const all = await gpu.read(logits);
      const V = logits.columnCount;
      forward.logits_last.forEach((row, b) => {
        const at = placeOf(batch, b, inputIds[b].length - 1) * V;
        assertClose(all.subarray(at, at + V), row, { atol: 1e-4 }, `logits of row ${b}`);
      });

      const options = { maxNewTokens: 8, greedy: true, stop: [] };
      const { ids } = await model.generate(forward.prompt_ids, options);
      assertEquals(ids, forward.greedy_new_ids);
    }));

  Deno.test(`savePretrained() writes ${name} byte by byte as transformers does`, () =>
    withGpu((gpu) =>
      withFolder(async (saved) => {
        using model = await loadCausalLM(gpu, folder);
        await model.savePretrained(saved, options);
        const files = await listTree(saved);
        assertEquals([...files, "forward.json"].sort(), await listTree(folder));
        for (const file of files) {
          if (file === "config.json") continue; // the same content; the order of keys is ours
          const [ours, theirs] = [`${saved}/${file}`, `${folder}/${file}`];
          assertEquals(await Deno.readFile(ours), await Deno.readFile(theirs), file);
        }
        const read = async (path: string) => JSON.parse(await Deno.readTextFile(path));
        assertEquals(await read(`${saved}/config.json`), await read(`${folder}/config.json`));
      })
    ));
}

Deno.test("savePretrained() leaves no weights of an earlier save behind, and keeps other files", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadCausalLM(gpu, GPT2);
      await model.savePretrained(folder, { maxShardBytes: 100_000, card: "# Mine\n" });
      await Deno.writeTextFile(`${folder}/notes.txt`, "kept");
      await model.savePretrained(folder);
      const kept = (await listTree(folder)).filter((name) => !name.endsWith(".json"));
      assertEquals(kept, ["README.md", "model.safetensors", "notes.txt"]);
      assertEquals(await Deno.readTextFile(`${folder}/README.md`), "# Mine\n");
      await model.savePretrained(folder, { maxShardBytes: 100_000 });
      assert(!(await listTree(folder)).includes("model.safetensors"));
      using again = await loadCausalLM(gpu, folder);
      assertEquals(again.config, model.config);
    })
  ));

Deno.test("savePretrained() refuses what float16 cannot hold, and leaves the folder as it was", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadCausalLM(gpu, GPT2);
      await model.savePretrained(folder);
      const before = await Deno.readFile(`${folder}/model.safetensors`);
      gpu.write(model.values.get("ln_f.bias"), new Float32Array(48).fill(1e5));
      const error = await assertRejects(
        () => model.savePretrained(folder, { dtype: "float16" }),
        SafetensorsError,
        "100000 is too large for F16",
      );
      assertEquals(error.tensor, "transformer.ln_f.bias");
      assertEquals(await Deno.readFile(`${folder}/model.safetensors`), before);
    })
  ));

Deno.test("savePretrained() refuses options that do not exist", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadCausalLM(gpu, GPT2);
      const save = (options: unknown) => () => model.savePretrained(folder, options as SaveOptions);
      await assertRejects(save({ dtype: "int8" }), RangeError, "Cannot save as int8: ");
      await assertRejects(save({ maxShardBytes: 0 }), RangeError, "files of 0 bytes: ");
    })
  ));

/** As `save_pretrained` of TRL's class with a value head names the model's tensors, and as its `state_dict` does. */
const TRL_NAMES: Record<string, string> = { "stripped": "", "whole": "pretrained_model." };

for (const [kind, wrapper] of Object.entries(TRL_NAMES)) {
  Deno.test(`loadCausalLM() reads a folder of TRL with ${kind} names, value head and tied head`, () =>
    withGpu((gpu) => withFolder((folder) => readsTrlFolder(gpu, { folder, wrapper }))));
}

async function readsTrlFolder(
  gpu: Gpu,
  { folder, wrapper }: { folder: string; wrapper: string },
): Promise<void> {
  await copyGpt2(folder);
  const weight = Float32Array.from({ length: 48 }, (_, i) => i / 48);
  await changeWeights(folder, (tensors) => {
    const { shape, data } = tensors.find(({ name }) => name === "transformer.wte.weight")!;
    return [
      ...tensors.map((tensor) => ({ ...tensor, name: wrapper + tensor.name })),
      { name: `${wrapper}lm_head.weight`, shape, data },
      { name: "v_head.summary.weight", shape: [1, 48], data: weight },
      { name: "v_head.summary.bias", shape: [1], data: Float32Array.of(2) },
    ];
  });
  using model = await loadCausalLM(gpu, folder, { valueHead: true });
  assertEquals(await gpu.read(model.values.get("v_head.summary.weight")), weight);
  assertEquals(await gpu.read(model.values.get("v_head.summary.bias")), Float32Array.of(2));
  using plain = await loadCausalLM(gpu, GPT2);
  for (const { name } of plain.values.layout.specs) {
    const [read, expected] = [model, plain].map(({ values }) => gpu.read(values.get(name)));
    assertEquals(await read, await expected, name);
  }
}
