import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parseCausalLMConfig, toHuggingFaceCausalLMConfig } from "../../model/causal_lm_config.ts";
import { ModelConfigError } from "../../model/config_json.ts";
import { parseGptNeoConfig, toHuggingFaceGptNeoConfig } from "../../model/gpt_neo_config.ts";

const golden: Record<string, unknown> = JSON.parse(
  Deno.readTextFileSync("tests/fixtures/gpt-neo/config.json"),
);

Deno.test("parseGptNeoConfig() reads what transformers writes", () => {
  assertEquals(parseGptNeoConfig(golden, "config.json"), {
    modelType: "gpt_neo",
    vocabSize: 512,
    nPositions: 64,
    nEmbd: 32,
    nLayer: 4,
    nHead: 4,
    nInner: 128,
    layerNormEpsilon: 1e-5,
    activation: "gelu_new",
    tieWordEmbeddings: true,
    bosTokenId: 0,
    eosTokenId: 0,
    initializerRange: 0.02,
    attentionLayers: ["global", "local", "global", "local"],
    windowSize: 8,
  });
});

Deno.test("parseGptNeoConfig() expands attention_types where the layers are not listed", () => {
  const { attention_layers: _, ...rest } = golden;
  const layersOf = (change: Record<string, unknown>) =>
    parseGptNeoConfig({ ...rest, ...change }, "").attentionLayers;
  assertEquals(layersOf({}), ["global", "local", "global", "local"]);
  const types = [[["global"], 1], [["local", "global"], 1], [["local"], 2]];
  assertEquals(
    layersOf({ attention_types: types, num_layers: 5 }),
    ["global", "local", "global", "local", "local"],
  );
  const whole = layersOf({ attention_types: undefined, num_layers: 24 });
  assertEquals([whole.length, whole[0], whole[23]], [24, "global", "local"]);
});

Deno.test("parseGptNeoConfig() takes the MLP's width as it is, if it is there", () => {
  assertEquals(parseGptNeoConfig({ ...golden, intermediate_size: 100 }, "").nInner, 100);
  assertEquals(parseGptNeoConfig({ ...golden, window_size: undefined }, "").windowSize, 256);
});

const REFUSED: [change: Record<string, unknown>, says: string][] = [
  [{ architectures: ["GPTNeoForSequenceClassification"] }, "GPTNeoForSequenceClassification"],
  [{ activation_function: "relu" }, 'activation_function is "relu"'],
  [{ hidden_size: undefined }, "hidden_size is missing, it must be a whole number above 0"],
  [{ num_heads: 5 }, "hidden_size is 32, it must be a multiple of num_heads (5)"],
  [{ window_size: 0 }, "window_size is 0"],
  [{ attention_layers: ["global"] }, 'attention_layers is ["global"], it must be a list of'],
  [{ attention_layers: ["global", "local", "all", "local"] }, "attention_layers is"],
  [{ attention_layers: "global" }, "num_layers (4) in all"],
  [{ attention_layers: undefined, attention_types: [[["global"], 1e15]] }, "attention_types is"],
  [{ attention_layers: undefined, attention_types: [[[], 1e15]] }, "attention_types is"],
  [{ num_layers: 1e9 }, "num_layers is 1000000000, it must be at most 1024"],
  [{ attention_layers: undefined, attention_types: [["global", 4]] }, "attention_types is"],
  [{ attention_layers: undefined, attention_types: null }, "attention_types is null"],
  [{ attention_layers: undefined, num_layers: 6 }, "num_layers (6) in all"],
];
for (const [change, says] of REFUSED) {
  Deno.test(`parseGptNeoConfig() refuses ${Deno.inspect(change)}`, () => {
    const parse = () => parseGptNeoConfig({ ...golden, ...change }, "m/config.json");
    const error = assertThrows(parse, ModelConfigError);
    assertStringIncludes(error.message, "Cannot use m/config.json: ");
    assertStringIncludes(error.message, says);
  });
}

Deno.test("toHuggingFaceGptNeoConfig() gives back what transformers wrote", () => {
  const written = toHuggingFaceGptNeoConfig(parseGptNeoConfig(golden, ""), golden);
  assertEquals(JSON.stringify(written), JSON.stringify(golden)); // the order of keys too
});

Deno.test("toHuggingFaceGptNeoConfig() without an original can be read again", () => {
  const config = { ...parseGptNeoConfig(golden, ""), nInner: 100, windowSize: 5 };
  const written = toHuggingFaceGptNeoConfig(config);
  assertEquals(parseGptNeoConfig(written, ""), config);
  const { attention_layers: _, ...older } = written;
  assertEquals(parseGptNeoConfig(older, ""), config);
});

Deno.test("parseCausalLMConfig() tells architectures apart and names those it has", () => {
  for (const name of ["gpt2", "gpt-neo"]) {
    const json = JSON.parse(Deno.readTextFileSync(`tests/fixtures/${name}/config.json`));
    const config = parseCausalLMConfig(json, "");
    assertEquals(config.modelType, json.model_type);
    assertEquals(toHuggingFaceCausalLMConfig(config, json), json);
  }
  const llama = { ...golden, model_type: "llama" };
  assertThrows(
    () => parseCausalLMConfig(llama, "config.json"),
    ModelConfigError,
    'model_type is "llama", it must be "gpt2" or "gpt_neo"',
  );
});
