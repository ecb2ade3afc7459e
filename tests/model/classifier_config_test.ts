import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  hasHeadFor,
  parseSequenceClassifierConfig,
  toHuggingFaceClassifierConfig,
} from "../../model/classifier_config.ts";
import { ModelConfigError } from "../../model/config_json.ts";
import golden from "../fixtures/distilbert/config.json" with { type: "json" };
import gpt2 from "../fixtures/gpt2/config.json" with { type: "json" };

/** Every key of `distilbert-base-uncased-finetuned-sst-2-english`. */
const SST_2 = {
  activation: "gelu",
  architectures: ["DistilBertForSequenceClassification"],
  attention_dropout: 0.1,
  dim: 768,
  dropout: 0.1,
  finetuning_task: "sst-2",
  hidden_dim: 3072,
  id2label: { "0": "NEGATIVE", "1": "POSITIVE" },
  initializer_range: 0.02,
  label2id: { NEGATIVE: 0, POSITIVE: 1 },
  max_position_embeddings: 512,
  model_type: "distilbert",
  n_heads: 12,
  n_layers: 6,
  output_past: true,
  pad_token_id: 0,
  qa_dropout: 0.1,
  seq_classif_dropout: 0.2,
  sinusoidal_pos_embds: false,
  tie_weights_: true,
  vocab_size: 30522,
};

Deno.test("parseSequenceClassifierConfig() reads the sentiment model of the Hub", () => {
  assertEquals(parseSequenceClassifierConfig(SST_2, "config.json"), {
    trunk: {
      modelType: "distilbert",
      vocabSize: 30522,
      nPositions: 512,
      dim: 768,
      nLayers: 6,
      nHeads: 12,
      hiddenDim: 3072,
      activation: "gelu",
      padTokenId: 0,
      initializerRange: 0.02,
    },
    labels: ["NEGATIVE", "POSITIVE"],
  });
});

Deno.test("parseSequenceClassifierConfig() names labels as transformers does where the file does not", () => {
  const { id2label: _names, ...rest } = SST_2;
  const labelsOf = (change: Record<string, unknown>) =>
    parseSequenceClassifierConfig({ ...rest, ...change }, "").labels;
  assertEquals(labelsOf({}), ["LABEL_0", "LABEL_1"]);
  assertEquals(labelsOf({ num_labels: 1 }), ["LABEL_0"]);
  assertEquals(labelsOf({ id2label: { "1": "b", "0": "a", "2": "c" } }), ["a", "b", "c"]);
});

Deno.test("parseSequenceClassifierConfig() accepts what changes nothing", () => {
  const same = parseSequenceClassifierConfig(golden, "");
  for (
    const change of [
      { sinusoidal_pos_embds: true },
      { seq_classif_dropout: 0.9 },
      { problem_type: null },
      { problem_type: "single_label_classification" },
      { num_labels: 2 },
    ]
  ) {
    assertEquals(parseSequenceClassifierConfig({ ...golden, ...change }, ""), same);
  }
});

Deno.test("parseSequenceClassifierConfig() takes a model without a head for labels of a new one", () => {
  for (const name of ["DistilBertModel", "DistilBertForMaskedLM"]) {
    const json = { ...golden, architectures: [name] };
    assertEquals(parseSequenceClassifierConfig(json, "", ["good"]).labels, ["good"]);
    assertThrows(() => parseSequenceClassifierConfig(json, ""), ModelConfigError, name);
  }
  assertEquals(parseSequenceClassifierConfig(gpt2, "", ["good"]).trunk.modelType, "gpt2");
  // What the file says of another head does not matter then.
  const json = { ...golden, problem_type: "multi_label_classification" };
  assertEquals(parseSequenceClassifierConfig(json, "", ["good"]).labels, ["good"]);
  for (const labels of [[], ["same", "same"]]) {
    assertThrows(() => parseSequenceClassifierConfig(golden, "", labels), RangeError, "give one");
  }
});

const REFUSED: [change: Record<string, unknown>, says: string][] = [
  [{ model_type: "bert" }, 'model_type is "bert", it must be "distilbert" or "gpt2"; '],
  [{ architectures: ["DistilBertForTokenClassification"] }, "DistilBertForTokenClassification"],
  [{ activation: "relu" }, 'activation is "relu", it must be "gelu" or "gelu_new"; '],
  [{ dim: 50 }, "dim is 50, it must be a multiple of n_heads (4)"],
  [{ n_layers: 0 }, "n_layers is 0"],
  [{ hidden_dim: undefined }, "hidden_dim is missing"],
  [{ pad_token_id: 800 }, "pad_token_id is 800, it must be a token id from 0 to 799"],
  [{ id2label: {} }, "id2label is {}, it must be a different name for each"],
  [{ id2label: null }, "id2label is null"],
  [{ id2label: { "0": "A", "2": "B" } }, "id2label"],
  [{ id2label: { "0": "A", "1": "A" } }, "id2label"],
  [{ id2label: { "0": "A", "1": 1 } }, "id2label"],
  [{ num_labels: 3 }, "num_labels is 3, it must be 2, as many as id2label has"],
  [{ num_labels: 0 }, "num_labels is 0"],
  [{ id2label: undefined, num_labels: 1e9 }, "num_labels is 1000000000, it must be at most 65536"],
  [{ problem_type: "multi_label_classification" }, '"single_label_classification", or null'],
  [{ problem_type: "regression" }, "with 2 labels; no other is supported"],
  // A classifier with one class says the same of every text.
  [
    { id2label: { "0": "A" }, problem_type: "single_label_classification" },
    '"regression", or null, with one label',
  ],
];
for (const [change, says] of REFUSED) {
  Deno.test(`parseSequenceClassifierConfig() refuses ${Deno.inspect(change)}`, () => {
    const json = { ...golden, ...change };
    const parse = () => parseSequenceClassifierConfig(json, "m/config.json");
    const { message } = assertThrows(parse, ModelConfigError);
    assertStringIncludes(message, "Cannot use m/config.json: ");
    assertStringIncludes(message, says);
  });
}

Deno.test("hasHeadFor() tells whether a head can be used for labels", () => {
  const labels = ["NEGATIVE", "POSITIVE"];
  assertEquals(hasHeadFor(golden, "", labels), true);
  assertEquals(hasHeadFor(golden, "", labels.toReversed()), false);
  assertEquals(hasHeadFor({ ...golden, architectures: ["DistilBertModel"] }, "", labels), false);
  assertEquals(hasHeadFor({ ...golden, architectures: undefined }, "", labels), false);
});

Deno.test("toHuggingFaceClassifierConfig() gives back what transformers wrote", () => {
  const config = parseSequenceClassifierConfig(golden, "");
  assertEquals(toHuggingFaceClassifierConfig(config, { original: golden, padTokenId: 9 }), golden);
  const { finetuning_task, ...written } = toHuggingFaceClassifierConfig(
    parseSequenceClassifierConfig(SST_2, ""),
    { original: { ...SST_2, torch_dtype: "float16" }, padTokenId: 9 },
  );
  assertEquals({ finetuning_task, ...written }, { ...SST_2, dtype: "float32" });
});

Deno.test("toHuggingFaceClassifierConfig() without an original can be read again", () => {
  const config = { ...parseSequenceClassifierConfig(golden, ""), labels: ["a", "b", "c"] };
  const json = toHuggingFaceClassifierConfig(config, { padTokenId: 0 });
  assertEquals(parseSequenceClassifierConfig(json, ""), config);
  assertEquals(json.label2id, { a: 0, b: 1, c: 2 });
});
