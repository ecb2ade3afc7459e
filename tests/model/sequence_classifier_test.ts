import { assert, assertEquals, assertRejects } from "@std/assert";
import { ModelConfigError } from "../../model/config_json.ts";
import {
  initSequenceClassifier,
  loadSequenceClassifier,
} from "../../model/sequence_classifier_weights.ts";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { openSafetensors, type TensorToWrite } from "../../weights/safetensors.ts";
import {
  changeConfig,
  classifierGolden,
  copyModel,
  DISTILBERT,
  parameterBits,
} from "../helpers/classifiers.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { changeWeights } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

function normalNumbers(): () => number {
  const rng = new Rng(1);
  return () => rng.normal();
}

const HEAD = /^(pre_)?classifier\./;

/** A masked language model's head, which a classifier has no use for. */
const MASKED_HEAD: TensorToWrite[] = [
  "vocab_transform.weight",
  "vocab_transform.bias",
  "vocab_layer_norm.weight",
  "vocab_projector.bias",
].map((name) => ({ name, shape: [1], data: new Float32Array(1) }));

Deno.test("classify() gives a text the same bits alone, in any company, and in several batches", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT);
    const { texts } = await classifierGolden(DISTILBERT);
    const together = await model.classify(texts);
    for (const [i, text] of texts.entries()) {
      assertEquals((await model.classify([text]))[0], together[i]);
    }
    // The longest text has 64 tokens, and so 70 of them are more than the 4,096 of one batch.
    const many = [...texts.toReversed(), ...Array(70).fill(texts[5]), ...texts];
    const results = await model.classify(many);
    many.forEach((text, i) => assertEquals(results[i], together[texts.indexOf(text)]));
    assertEquals(await model.classify([]), []);
  }));

Deno.test("savePretrained() writes the golden byte by byte as transformers does", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using model = await loadSequenceClassifier(gpu, DISTILBERT);
      await model.savePretrained(folder);
      const names = ["model.safetensors", "tokenizer.json", "tokenizer_config.json"];
      assertEquals(await listTree(folder), ["config.json", ...names]);
      for (const name of names) {
        const saved = await Deno.readFile(`${folder}/${name}`);
        assertEquals(saved, await Deno.readFile(`${DISTILBERT}/${name}`), name);
      }
      const read = async (path: string) => JSON.parse(await Deno.readTextFile(path));
      assertEquals(await read(`${folder}/config.json`), await read(`${DISTILBERT}/config.json`));
    })
  ));

Deno.test("initSequenceClassifier() makes a model that classifies, saves and loads", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using golden = await loadSequenceClassifier(gpu, DISTILBERT);
      const config = { trunk: golden.config.trunk, labels: ["score"] };
      const { tokenizer } = golden;
      using model = initSequenceClassifier(gpu, { config, tokenizer, normal: normalNumbers() });
      assertEquals(await gpu.read(model.values.get("classifier.bias")), Float32Array.of(0));
      const ones = await gpu.read(model.values.get("embeddings.LayerNorm.weight"));
      assert(ones.every((weight) => weight === 1));

      const before = await model.classify(["a text", "another"]);
      assert(before[0].logits[0] !== before[1].logits[0]);
      const { label, confidence, logits, probabilities } = before[0];
      assertEquals(label, "score");
      assertEquals([confidence], probabilities);
      assertEquals(confidence, 1 / (1 + Math.exp(-logits[0])));

      await model.savePretrained(folder);
      using again = await loadSequenceClassifier(gpu, folder);
      assertEquals(again.config, config);
      assertEquals(await again.classify(["a text", "another"]), before);
    })
  ));

for (
  const { what, architecture, change } of [
    {
      what: "a masked language model",
      architecture: "DistilBertForMaskedLM",
      change: (tensors: TensorToWrite[]) => [...tensors, ...MASKED_HEAD],
    },
    {
      what: "a trunk alone",
      architecture: "DistilBertModel",
      change: (tensors: TensorToWrite[]) =>
        tensors.map(({ name, ...rest }) => ({ name: name.replace("distilbert.", ""), ...rest })),
    },
  ]
) {
  Deno.test(`loadSequenceClassifier() starts from ${what} with a fresh head`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        await copyModel(DISTILBERT, folder);
        await changeConfig(folder, { architectures: [architecture], id2label: undefined });
        await changeWeights(
          folder,
          (tensors) => change(tensors.filter(({ name }) => !HEAD.test(name))),
        );
        const labels = ["bad", "fair", "good"];
        const normal = normalNumbers();
        using model = await loadSequenceClassifier(gpu, folder, { train: true, labels, normal });
        assertEquals([model.freshHead, model.labels], [true, labels]);
        using golden = await loadSequenceClassifier(gpu, DISTILBERT);
        for (const { name } of golden.layout.specs) {
          if (HEAD.test(name)) continue;
          const [actual, expected] = [model, golden].map(({ values }) => values.get(name));
          assertEquals(await gpu.read(actual), await gpu.read(expected), name);
        }
        const head = await gpu.read(model.values.get("pre_classifier.weight"));
        assert(head.every((weight) => weight !== 0));
        await model.savePretrained(`${folder}/saved`);
        using file = await openSafetensors(`${folder}/saved/model.safetensors`);
        assertEquals(file.tensors.get("classifier.weight")?.shape, [3, 48]);

        await assertRejects(
          () => loadSequenceClassifier(gpu, folder),
          ModelConfigError,
          "it must be DistilBertForSequenceClassification",
        );
        const noNumbers = () => loadSequenceClassifier(gpu, folder, { labels });
        await assertRejects(noNumbers, TypeError, "give `normal`");
      })
    ));
}

Deno.test("loadSequenceClassifier() keeps the head for its own labels, and starts another for others", () =>
  withGpu(async (gpu) => {
    using golden = await loadSequenceClassifier(gpu, DISTILBERT);
    using same = await loadSequenceClassifier(gpu, DISTILBERT, { labels: golden.labels });
    assertEquals([golden.freshHead, same.freshHead], [false, false]);
    assertEquals(await parameterBits(same), await parameterBits(golden));
    const other = { labels: ["POSITIVE", "NEGATIVE"], normal: normalNumbers() };
    using fresh = await loadSequenceClassifier(gpu, DISTILBERT, other);
    assertEquals(fresh.freshHead, true);
  }));

Deno.test("loadSequenceClassifier() leaves out the table of positions that old checkpoints have", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await copyModel(DISTILBERT, folder);
      const name = "distilbert.embeddings.position_ids";
      await changeWeights(folder, (tensors) => [
        ...tensors,
        { name, shape: [1, 64], data: Float32Array.from({ length: 64 }, (_, i) => i) },
      ]);
      using model = await loadSequenceClassifier(gpu, folder);
      using golden = await loadSequenceClassifier(gpu, DISTILBERT);
      assertEquals(await parameterBits(model), await parameterBits(golden));
    })
  ));

const NAME = "distilbert.transformer.layer.1.attention.k_lin.weight";

const BROKEN: {
  what: string;
  config?: Record<string, unknown>;
  change?: (tensors: TensorToWrite[]) => TensorToWrite[];
  says: string;
}[] = [
  {
    what: "a missing tensor",
    change: (tensors) => tensors.filter(({ name }) => name !== NAME),
    says: `it has no tensor "${NAME}"`,
  },
  {
    what: "a missing head",
    change: (tensors) => tensors.filter(({ name }) => !HEAD.test(name)),
    says: 'it has no tensor "pre_classifier.weight"',
  },
  {
    what: "a tensor of the wrong shape",
    change: (tensors) =>
      tensors.map((tensor) =>
        tensor.name === NAME ? { name: NAME, shape: [24, 96], data: tensor.data } : tensor
      ),
    says: `tensor "${NAME}" has the shape [24,96]`,
  },
  {
    what: "a head for another number of labels",
    config: { id2label: { 0: "a", 1: "b", 2: "c" } },
    says: 'tensor "classifier.weight" has the shape [2,48]',
  },
  {
    what: "a tensor that is no part of it",
    change: (tensors) => [...tensors, ...MASKED_HEAD],
    says: "is not part of a DistilBERT classifier",
  },
  {
    what: "a tokenizer with more tokens than the model",
    config: { vocab_size: 500 },
    says: "its tokenizer has 800 tokens, the model 500",
  },
];
for (const { what, config = {}, change = (kept: TensorToWrite[]) => kept, says } of BROKEN) {
  Deno.test(`loadSequenceClassifier() refuses ${what}, and frees what it took`, () =>
    withGpu((gpu) =>
      withFolder(async (folder) => {
        await copyModel(DISTILBERT, folder);
        await changeConfig(folder, config);
        await changeWeights(folder, change);
        const load = () => loadSequenceClassifier(gpu, folder);
        const { message } = await assertRejects(load, ModelFolderError);
        assert(message.includes(says) && message.includes(folder), message);
        assertEquals(gpu.liveBytes, 0);
      })
    ));
}
