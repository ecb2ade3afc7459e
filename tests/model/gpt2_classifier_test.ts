import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ModelConfigError } from "../../model/config_json.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import {
  initSequenceClassifier,
  loadSequenceClassifier,
} from "../../model/sequence_classifier_weights.ts";
import { storedTensors } from "../../model/stored.ts";
import { padLeft, padRight, TokenRowsError } from "../../model/token_batch.ts";
import { Rng } from "../../train/rng.ts";
import { openSafetensors } from "../../weights/safetensors.ts";
import goldens from "../fixtures/gpt2-classifier/gradients.json" with { type: "json" };
import {
  changeConfig,
  copyModel,
  meanCrossEntropy,
  parameterBits,
} from "../helpers/classifiers.ts";
import { assertClose } from "../helpers/close.ts";
import { withFolder } from "../helpers/folder.ts";
import { changeWeights, type ForwardGolden, golden, GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const LABELS = ["bad", "fair", "good"];
const NAMES = { prefix: "transformer.", heads: /^score\./ };

/** Makes `folder` a GPT-2 classifier: the golden trunk, and token embeddings as the head. */
async function writeClassifier(folder: string, labels = LABELS): Promise<void> {
  await copyModel(GPT2, folder);
  await changeConfig(folder, {
    architectures: ["GPT2ForSequenceClassification"],
    id2label: Object.fromEntries(labels.map((label, id) => [id, label])),
    pad_token_id: 0,
  });
  await changeWeights(folder, (tensors) => {
    const { data, shape } = tensors.find(({ name }) => name === "transformer.wte.weight")!;
    const C = shape[1];
    const rows = goldens.label_ids.slice(0, labels.length)
      .map((id) => (data as Float32Array).subarray(id * C, (id + 1) * C));
    const weight = Float32Array.from(rows.flatMap((row) => [...row]));
    return [...tensors, { name: "score.weight", shape: [labels.length, C], data: weight }];
  });
}

/** The token ids of the golden batch, without padding. */
async function goldenRows(): Promise<number[][]> {
  const { input_ids, attention_mask } = await golden<ForwardGolden>("forward");
  return input_ids.map((ids, b) => ids.filter((_, t) => attention_mask[b][t] === 1));
}

for (const [side, pad] of Object.entries({ left: padLeft, right: padRight })) {
  Deno.test(`logits of the last token are transformers', gradients PyTorch's, padded on the ${side}`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        await writeClassifier(folder);
        using model = await loadSequenceClassifier(gpu, folder, { train: true });
        assertEquals(model.labels, LABELS);
        const rows = pad(await goldenRows(), 0);

        const pass = gpu.record();
        const logits = model.forward(pass, model.upload(rows));
        pass.submit();
        const { logits_last } = await golden<ForwardGolden>("forward");
        const expected = logits_last.flatMap((row) => goldens.label_ids.map((id) => row[id]));
        // Both sides round in float32 through three layers; logits are about 1.
        assertClose(await gpu.read(logits), expected, { atol: 1e-5 });

        const loss = await meanCrossEntropy(model, { rows, targets: goldens.targets });
        assertClose([loss], [goldens.loss], { atol: 1e-5 });
        for (const { name, data } of storedTensors({ gpu, values: model.grads!, names: NAMES })) {
          const gradient = typeof data === "function" ? await data() : data;
          const norm = Math.hypot(...gradient);
          const wave = gradient.reduce((sum, g, i) => sum + g * Math.sin(i + 1), 0);
          const { [name as "score.weight"]: of } = goldens.gradients;
          // Relative to the tensor's norm, since its elements cancel in the product with the wave.
          const tolerance = { atol: 1e-4 * of.norm };
          assertClose([norm, wave], [of.norm, of.wave], tolerance, name);
        }
      })
    ));
}

Deno.test("classify() reads an empty text as the token that starts one, and the beginning of a long one", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await writeClassifier(folder);
      using model = await loadSequenceClassifier(gpu, folder);
      const { nPositions } = model.config.trunk;
      assertEquals(model.encode(""), { ids: [model.tokenizer.bosId], truncated: false });
      const long = "a long text ".repeat(50);
      const ids = model.tokenizer.encode(long).slice(0, nPositions);
      assertEquals(model.encode(long), { ids, truncated: true });
      const [empty, cut, fits] = await model.classify(["", long, "short"]);
      assertEquals([empty, cut, fits].map(({ truncated }) => truncated), [false, true, false]);
    })
  ));

Deno.test("a model with one label scores: the logit, and its logistic function as the confidence", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await writeClassifier(folder, ["score"]);
      using model = await loadSequenceClassifier(gpu, folder);
      const [result] = await model.classify(["a text"]);
      assertEquals(result.label, "score");
      assertEquals(result.logits.length, 1);
      assertEquals(result.confidence, 1 / (1 + Math.exp(-result.logits[0])));
      assertEquals(result.probabilities, [result.confidence]);
    })
  ));

Deno.test("loadSequenceClassifier() starts from a language model with a fresh head, for given labels only", () =>
  withGpu(async (gpu) => {
    await assertRejects(
      () => loadSequenceClassifier(gpu, GPT2),
      ModelConfigError,
      "it must be GPT2ForSequenceClassification",
    );
    const rng = new Rng(1);
    const normal = () => rng.normal();
    using model = await loadSequenceClassifier(gpu, GPT2, { train: true, labels: LABELS, normal });
    assert(model.freshHead);
    using lm = await loadCausalLM(gpu, GPT2);
    for (const { name } of lm.layout.specs) {
      assertEquals(await gpu.read(model.values.get(name)), await gpu.read(lm.values.get(name)));
    }
    const head = await gpu.read(model.values.get("score.weight"));
    const deviation = Math.hypot(...head) / Math.sqrt(head.length);
    assertClose([deviation], [0.02], { atol: 0.005 }); // 144 numbers: three standard errors are 0.0035
  }));

Deno.test("savePretrained() writes transformers' names, and every bit comes back", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using lm = await loadCausalLM(gpu, GPT2);
      if (lm.config.modelType !== "gpt2") throw new Error("expected a GPT-2");
      const rng = new Rng(2);
      using model = initSequenceClassifier(gpu, {
        config: { trunk: lm.config, labels: LABELS },
        tokenizer: lm.tokenizer,
        normal: () => rng.normal(),
      });
      await model.savePretrained(folder);
      const config = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
      assertEquals(config.architectures, ["GPT2ForSequenceClassification"]);
      assertEquals(config.id2label, { 0: "bad", 1: "fair", 2: "good" });
      assertEquals(config.label2id, { bad: 0, fair: 1, good: 2 });
      assertEquals(config.pad_token_id, lm.tokenizer.eosId); // without one transformers takes no batches
      {
        using file = await openSafetensors(`${folder}/model.safetensors`);
        assertEquals(file.tensors.get("score.weight")?.shape, [3, lm.config.nEmbd]);
        assert(file.tensors.has("transformer.h.0.attn.c_attn.weight"));
      }
      using again = await loadSequenceClassifier(gpu, folder);
      assertEquals(again.config, model.config);
      assertEquals(again.freshHead, false);
      assertEquals(await parameterBits(again), await parameterBits(model));
    })
  ));

Deno.test("upload() refuses a row without tokens", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await writeClassifier(folder);
      using model = await loadSequenceClassifier(gpu, folder);
      const rows = padRight([[1, 2], []], 0);
      assertThrows(() => model.upload(rows), TokenRowsError, "row 1 has no tokens");
    })
  ));
