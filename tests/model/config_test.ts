import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parseGpt2Config, toHuggingFaceConfig } from "../../model/config.ts";
import { ModelConfigError } from "../../model/config_json.ts";

const golden: Record<string, unknown> = JSON.parse(
  Deno.readTextFileSync("tests/fixtures/gpt2/config.json"),
);

/** The original GPT-2's own, from before transformers wrote all keys. */
const hub = {
  activation_function: "gelu_new",
  architectures: ["GPT2LMHeadModel"],
  attn_pdrop: 0.1,
  bos_token_id: 50256,
  embd_pdrop: 0.1,
  eos_token_id: 50256,
  initializer_range: 0.02,
  layer_norm_epsilon: 1e-05,
  model_type: "gpt2",
  n_ctx: 1024,
  n_embd: 768,
  n_head: 12,
  n_layer: 12,
  n_positions: 1024,
  resid_pdrop: 0.1,
  summary_activation: null,
  summary_type: "cls_index",
  task_specific_params: { "text-generation": { do_sample: true, max_length: 50 } },
  vocab_size: 50257,
};

Deno.test("parseGpt2Config() reads what transformers writes", () => {
  assertEquals(parseGpt2Config(golden, "config.json"), {
    modelType: "gpt2",
    vocabSize: 512,
    nPositions: 64,
    nEmbd: 48,
    nLayer: 3,
    nHead: 4,
    nInner: 192,
    layerNormEpsilon: 1e-5,
    activation: "gelu_new",
    tieWordEmbeddings: true,
    bosTokenId: 0,
    eosTokenId: 0,
    initializerRange: 0.02,
  });
});

Deno.test("parseGpt2Config() fills in what older files leave out", () => {
  const config = parseGpt2Config(hub, "config.json");
  assertEquals(config.nInner, 3072);
  assertEquals(config.tieWordEmbeddings, true);

  const { vocab_size, n_positions, n_embd, n_layer, n_head } = golden;
  const sizes = { model_type: "gpt2", vocab_size, n_positions, n_embd, n_layer, n_head };
  const { bosTokenId, eosTokenId, ...rest } = parseGpt2Config(sizes, "config.json");
  // transformers' default, 50256, is no token of this vocabulary
  assertEquals([bosTokenId, eosTokenId], [null, null]);
  const { bosTokenId: _bos, eosTokenId: _eos, ...expected } = parseGpt2Config(golden, "");
  assertEquals(rest, expected);
});

Deno.test("parseGpt2Config() accepts what changes nothing", () => {
  const same = parseGpt2Config(golden, "");
  for (const change of [{ reorder_and_upcast_attn: true }, { attn_pdrop: 0.5 }, { new_key: {} }]) {
    assertEquals(parseGpt2Config({ ...golden, ...change }, ""), same);
  }
  assertEquals(parseGpt2Config({ ...golden, n_inner: 100 }, "").nInner, 100);
  assertEquals(parseGpt2Config({ ...golden, activation_function: "gelu" }, "").activation, "gelu");
  assertEquals(parseGpt2Config({ ...golden, architectures: ["GPT2Model"] }, ""), same);
  assertEquals(
    parseGpt2Config({ ...golden, tie_word_embeddings: false }, "").tieWordEmbeddings,
    false,
  );
});

const REFUSED: [change: Record<string, unknown>, says: string][] = [
  [{ model_type: "llama" }, 'model_type is "llama", it must be "gpt2"; '],
  [{ model_type: undefined }, "model_type is missing"],
  [{ architectures: ["GPT2ForSequenceClassification"] }, "GPT2ForSequenceClassification"],
  [{ architectures: [] }, "architectures is []"],
  [{ scale_attn_weights: false }, "scale_attn_weights is false, it must be true; "],
  [{ scale_attn_by_inverse_layer_idx: true }, "scale_attn_by_inverse_layer_idx is true"],
  [{ add_cross_attention: true }, "add_cross_attention is true"],
  [{ add_cross_attention: "no" }, 'add_cross_attention is "no", it must be true or false'],
  [{ activation_function: "relu" }, 'activation_function is "relu"'],
  [{ vocab_size: undefined }, "vocab_size is missing, it must be a whole number above 0"],
  [{ n_layer: 0 }, "n_layer is 0"],
  [{ n_layer: 2.5 }, "n_layer is 2.5"],
  [{ n_positions: -1 }, "n_positions is -1"],
  [{ n_positions: "64" }, 'n_positions is "64"'],
  [{ n_inner: 0 }, "n_inner is 0"],
  [{ n_head: 5 }, "n_embd is 48, it must be a multiple of n_head (5)"],
  [{ layer_norm_epsilon: 0 }, "layer_norm_epsilon is 0, it must be a number above 0"],
  [{ initializer_range: "small" }, "initializer_range"],
  [{ tie_word_embeddings: 1 }, "tie_word_embeddings is 1"],
  [{ eos_token_id: 512 }, "eos_token_id is 512, it must be a token id from 0 to 511"],
  [{ bos_token_id: -1 }, "bos_token_id is -1"],
  [{ n_layer: 99_999_999 }, "n_layer is 99999999, it must be at most 1024"],
];
for (const [change, says] of REFUSED) {
  Deno.test(`parseGpt2Config() refuses ${Deno.inspect(change)}`, () => {
    const parse = () => parseGpt2Config({ ...golden, ...change }, "m/config.json");
    const error = assertThrows(parse, ModelConfigError);
    assertStringIncludes(error.message, "Cannot use m/config.json: ");
    assertStringIncludes(error.message, says);
    assertEquals(error.source, "m/config.json");
  });
}

for (const json of [null, [], "gpt2", 3]) {
  Deno.test(`parseGpt2Config() refuses ${JSON.stringify(json)} as a whole`, () => {
    assertThrows(() => parseGpt2Config(json, "c"), ModelConfigError, "not a JSON object");
  });
}

Deno.test("toHuggingFaceConfig() gives back what transformers wrote", () => {
  const written = toHuggingFaceConfig(parseGpt2Config(golden, ""), golden);
  assertEquals(JSON.stringify(written), JSON.stringify(golden)); // the order of keys too
});

Deno.test("toHuggingFaceConfig() keeps unknown keys and says that weights are 32-bit", () => {
  const original = { ...hub, torch_dtype: "float16" };
  const written = toHuggingFaceConfig(parseGpt2Config(original, ""), original);
  assertEquals(written.n_ctx, 1024);
  assertEquals(written.task_specific_params, hub.task_specific_params);
  assertEquals([written.dtype, "torch_dtype" in written], ["float32", false]);
});

Deno.test("toHuggingFaceConfig() without an original can be read again", () => {
  const config = { ...parseGpt2Config(golden, ""), nInner: 100, eosTokenId: null };
  assertEquals(parseGpt2Config(toHuggingFaceConfig(config), ""), config);
});
