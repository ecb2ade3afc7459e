import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import type { CausalLM } from "../../model/causal_lm.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import type { HalfTensors } from "../../model/half_tensors.ts";
import { loadSequenceClassifier } from "../../model/sequence_classifier_weights.ts";
import type { TokenRows } from "../../model/token_batch.ts";
import { hashModel } from "../../train/identity.ts";
import { assertClose } from "../helpers/close.ts";
import { withFolder } from "../helpers/folder.ts";
import { type ForwardGolden, golden, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const DISTILBERT = new URL("../fixtures/distilbert", import.meta.url).pathname;

const { input_ids: inputIds, attention_mask: attentionMask } = await golden<ForwardGolden>(
  "forward",
);
const ROWS = { inputIds, attentionMask };

/** The logits (N, V) of all tokens. */
async function logitsOf(model: CausalLM, rows: TokenRows): Promise<Float32Array> {
  const pass = model.gpu.record();
  const logits = model.head.logits(pass, model.forward(pass, model.upload(rows)));
  pass.submit();
  return await model.gpu.read(logits);
}

for (const [name, folder] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  Deno.test(`${name}: a reference in f16 computes in f32 on the rounded matrices`, () =>
    withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, folder);
      using reference = model.reference({ dtype: "f16" });
      const before = await logitsOf(model, ROWS);
      for (const { name, shape } of model.layout.specs) {
        if (shape.length < 2) continue;
        const tensor = model.values.get(name);
        gpu.write(tensor, (await gpu.read(tensor)).map(Math.f16round));
      }
      const logits = await logitsOf(reference, ROWS);
      // The same bits, but for adapters that take numbers below 2^-14, some 50 here, for 0.
      assertClose(logits, await logitsOf(model, ROWS), { atol: 1e-4 });
      assertClose(logits, before, { atol: 2e-3 }); // the cost that the setting's documentation states
      assertNotEquals(logits, before);
    }));

  Deno.test(`${name}: a reference in f16 decodes as it scores`, () =>
    withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, folder);
      using reference = model.reference({ dtype: "f16" });
      const prompt = inputIds[3].slice(0, 8);
      const { ids: [ids], logprobs: [sampled] } = await reference.generate([prompt], {
        maxNewTokens: 6,
        stop: [],
      });
      const { logprobs: [all] } = await reference.logprobs({ inputIds: [[...prompt, ...ids]] });
      assertClose(sampled, all.slice(prompt.length - 1), { atol: 1e-4 }); // as in f32
    }));

  Deno.test(`${name}: matrices in f16 take half the memory, and frozen ones none`, () =>
    withGpu(async (gpu) => {
      const bytesWith = async (options: { frozenBlocks?: number; dtype: "f16" | "f32" }) => {
        using model = await loadCausalLM(gpu, folder, options);
        const before = gpu.liveBytes;
        using _reference = model.reference(options);
        return gpu.liveBytes - before;
      };
      const [f32, f16] = [await bytesWith({ dtype: "f32" }), await bytesWith({ dtype: "f16" })];
      assert(f16 > 0.49 * f32 && f16 < 0.56 * f32, `${f16} of ${f32} bytes`); // vectors stay, parts are aligned
      const shared = await bytesWith({ dtype: "f16", frozenBlocks: 2 });
      assert(shared < 0.5 * f16, `${shared} of ${f16} bytes`);
    }));
}

Deno.test("a model in f16 has a hash of its own, and cannot be saved", () =>
  withFolder((path) =>
    withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, GPT2);
      const hashes = [];
      for (const dtype of ["f32", "f16", "f16"] as const) {
        using reference = model.reference({ dtype });
        hashes.push(await hashModel(reference));
        if (dtype === "f16") {
          assertThrows(() => reference.savePretrained(path), TypeError, "kept in f16");
        }
      }
      assertEquals(hashes[0], await hashModel(model));
      assertNotEquals(hashes[1], hashes[0]);
      assertEquals(hashes[2], hashes[1]);
    })
  ));

Deno.test("a name that is not kept in f16 is refused", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2);
    using reference = model.reference({ dtype: "f16" });
    const halves: HalfTensors = reference.halves!;
    assert(halves.has("wte.weight") && !halves.has("ln_f.weight"));
    assertThrows(() => halves.get("ln_f.weight"), RangeError, "ln_f.weight");
  }));

Deno.test("halved() gives a classifier of half the size with the same answers", () =>
  withGpu(async (gpu) => {
    const texts = ["a good film", "bad", "i did not like this movie at all", ""];
    const model = await loadSequenceClassifier(gpu, DISTILBERT);
    const bytes = gpu.liveBytes;
    const before = await model.classify(texts);
    using halved = model.halved();
    assert(gpu.liveBytes < 0.6 * bytes, `${gpu.liveBytes} of ${bytes} bytes`);
    const after = await halved.classify(texts);
    for (const [i, { label, logits }] of after.entries()) {
      assertEquals(label, before[i].label);
      assertClose(logits, before[i].logits, { atol: 1e-3 }); // a tenth of it on the tiny DistilBERT
      assertNotEquals(logits, before[i].logits);
    }
    await assertRejects(
      async () => await halved.savePretrained("/nowhere"),
      TypeError,
      "kept in f16",
    );
  }));
