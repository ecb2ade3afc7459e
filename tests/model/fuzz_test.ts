/**
 * Thousands of broken configurations and tokenizers, as a stranger could make them: each is read or refused with a
 * typed error that names the file; nothing hangs, crashes, or takes memory for what a file only claims.
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { parseAdapterConfig, toPeftConfig } from "../../model/adapter_config.ts";
import { parseCausalLMConfig } from "../../model/causal_lm_config.ts";
import { ChatTemplate, ChatTemplateError } from "../../model/chat_template.ts";
import { parseSequenceClassifierConfig } from "../../model/classifier_config.ts";
import { ModelConfigError } from "../../model/config_json.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { loadTokenizer, readTokenizer, TokenizerError } from "../../model/tokenizer.ts";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError, SafetensorsError } from "../../weights/errors.ts";
import { HubError } from "../../weights/hub_errors.ts";
import { withFolder } from "../helpers/folder.ts";
import { copyGpt2, GPT2, GPT_NEO } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { mutateBytes, mutateJson } from "../helpers/mutate.ts";

const DISTILBERT = GPT2.replace(/gpt2$/, "distilbert");

/** What broken files of a model may throw. */
const TYPED = [
  ChatTemplateError,
  HubError,
  ModelConfigError,
  ModelFolderError,
  SafetensorsError,
  TokenizerError,
];

/** Fails unless the error is typed and its message a short sentence that says what to do. */
function expectTyped(error: unknown, says: string): void {
  if (!TYPED.some((type) => error instanceof type)) throw error;
  const { message } = error as Error;
  assertStringIncludes(message, says);
  assert(/^Cannot [a-z]/.test(message), message);
  assert(
    message.length < 1000,
    `a message of ${message.length} characters: ${message.slice(0, 300)}`,
  );
}

for (
  const [name, folder, parse] of [
    ["a GPT-2", GPT2, parseCausalLMConfig],
    ["a GPT-Neo", GPT_NEO, parseCausalLMConfig],
    ["a DistilBERT", DISTILBERT, parseSequenceClassifierConfig],
  ] as const
) {
  Deno.test(`the configuration of ${name} is read or refused, whatever it says`, async () => {
    const json = await Deno.readTextFile(`${folder}/config.json`);
    const rng = new Rng(1, name);
    let refused = 0;
    for (let i = 0; i < 2000; i++) {
      try {
        parse(JSON.parse(mutateJson(json, rng)), "config.json");
      } catch (error) {
        expectTyped(error, "config.json");
        refused++;
      }
    }
    assert(refused > 200, `${refused} refused`);
  });
}

/** As PEFT writes it. */
const ADAPTER_CONFIG = JSON.stringify(
  toPeftConfig({ rank: 2, alpha: 4, targets: ["c_attn", "c_fc"], baseModel: GPT2 }, {
    fanInFanOut: true,
  }),
);

Deno.test("the configuration of adapters is read or refused, whatever it says", () => {
  const rng = new Rng(1, "adapters");
  let refused = 0;
  for (let i = 0; i < 3000; i++) {
    try {
      parseAdapterConfig(JSON.parse(mutateJson(ADAPTER_CONFIG, rng)), "adapter_config.json");
    } catch (error) {
      expectTyped(error, "adapter_config.json");
      refused++;
    }
  }
  assert(refused > 1000, `${refused} refused`);
});

Deno.test("a chat template renders or is refused, whatever it says", () => {
  const source = "{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}" +
    "{{ '<|' + m['role'] + '|>' }}{% if m.content is defined %}{{ m.content | trim }}{% endif %}" +
    "{% endfor %}{% for i in range(3) %}{{ eos_token }}{% endfor %}";
  const tokens = { named: { eos_token: "<|endoftext|>" }, special: ["<|endoftext|>"] };
  const rng = new Rng(5, "template");
  for (let i = 0; i < 2000; i++) {
    const changed = mutateBytes(new TextEncoder().encode(source), rng);
    try {
      const template = new ChatTemplate(new TextDecoder().decode(changed), tokens);
      template.render([{ role: "user", content: "How was it?" }]);
    } catch (error) {
      if (!(error instanceof ChatTemplateError)) throw error;
      assert(error.message.length < 1000);
    }
  }
});

/** Uses a tokenizer as a program would; what it does with text may be anything but a crash. */
function useTokenizer(json: string | Uint8Array<ArrayBuffer>, config?: string): void {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const codec = loadTokenizer(
    typeof json === "string" ? bytes(json) : json,
    config === undefined ? undefined : bytes(config),
  );
  const ids = codec.encode("The movie<|endoftext|> was, in 90 minutes,\n unwatchable!");
  for (const id of ids) assert(Number.isInteger(id) && id >= 0 && id < codec.vocabSize);
  codec.decode(ids, { skipSpecialTokens: true });
}

Deno.test("a tokenizer is read or refused, whatever its files say", async () => {
  const json = await Deno.readTextFile(`${GPT2}/tokenizer.json`);
  const config = await Deno.readTextFile(`${GPT2}/tokenizer_config.json`);
  const rng = new Rng(2, "tokenizer");
  const parts = ["added_tokens", "pre_tokenizer", "decoder", "model", "normalizer"];
  for (let i = 0; i < 400; i++) {
    try {
      if (i % 4 === 0) useTokenizer(mutateBytes(new TextEncoder().encode(json), rng));
      else if (i % 4 === 1) useTokenizer(json, mutateJson(config, rng));
      else useTokenizer(mutateJson(json, rng, [parts[rng.int(parts.length)]]));
    } catch (error) {
      expectTyped(error, "the tokenizer");
    }
  }
});

Deno.test("a tokenizer of parts is read or refused, whatever its files say", () =>
  withFolder(async (folder) => {
    const { model } = JSON.parse(await Deno.readTextFile(`${GPT2}/tokenizer.json`));
    const files: Record<string, string> = {
      "vocab.json": JSON.stringify(model.vocab),
      "merges.txt": model.merges.map((pair: string[]) => pair.join(" ")).join("\n"),
      "special_tokens_map.json": '{"eos_token": {"content": "<|endoftext|>"}, "pad_token": "!"}',
      "added_tokens.json": '{"[name]": 512, "<|pad|>": 513}',
      "tokenizer_config.json": '{"add_prefix_space": false, "additional_special_tokens": ["?"]}',
    };
    const rng = new Rng(3, "parts");
    const write = (name: string, content: string | Uint8Array) =>
      typeof content === "string"
        ? Deno.writeTextFile(`${folder}/${name}`, content)
        : Deno.writeFile(`${folder}/${name}`, content);
    for (const [name, content] of Object.entries(files)) await write(name, content);
    for (let i = 0; i < 300; i++) {
      const names = Object.keys(files);
      const name = names[rng.int(names.length)];
      const isJson = name.endsWith(".json") && rng.int(2) === 0;
      await write(
        name,
        isJson
          ? mutateJson(files[name], rng)
          : mutateBytes(new TextEncoder().encode(files[name]), rng),
      );
      try {
        const codec = await readTokenizer(folder);
        codec.decode(codec.encode("The movie was"));
      } catch (error) {
        expectTyped(error, folder);
      }
      await write(name, files[name]);
    }
  }));

Deno.test("loadCausalLM() loads or refuses a folder, whatever its files say, and takes no memory for claims", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await copyGpt2(folder);
      const rng = new Rng(4, "folder");
      const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
      for (let i = 0; i < 120; i++) {
        const name = names[i % names.length];
        const bytes = await Deno.readFile(`${GPT2}/${name}`);
        const changed = name.endsWith(".json") && rng.int(3) > 0
          ? new TextEncoder().encode(mutateJson(new TextDecoder().decode(bytes), rng))
          : mutateBytes(bytes, rng);
        await Deno.writeFile(`${folder}/${name}`, changed);
        gpu.peakBytes = 0;
        try {
          using _model = await loadCausalLM(gpu, folder);
        } catch (error) {
          expectTyped(error, folder);
        }
        assertEquals(gpu.liveBytes, 0);
        assert(gpu.peakBytes < 2_000_000, `${gpu.peakBytes} bytes for a model of 450,240`);
        await Deno.writeFile(`${folder}/${name}`, bytes);
      }
    })
  ));

Deno.test("loadCausalLM() loads or refuses adapters, whatever their files say, and takes no memory for claims", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      const lora = { rank: 2, alpha: 4, targets: ["c_attn", "c_fc"], uniform: () => 0.5 };
      {
        using model = await loadCausalLM(gpu, GPT2, { lora, valueHead: true });
        await model.savePretrained(folder);
      }
      const hub = { offline: true, cacheDir: `${folder}/cache` }; // many a name may be one on the Hub
      const rng = new Rng(6, "adapters");
      for (let i = 0; i < 200; i++) {
        const name = i % 2 === 0 ? "adapter_config.json" : "adapter_model.safetensors";
        const bytes = await Deno.readFile(`${folder}/${name}`);
        const changed = i % 4 === 0
          ? new TextEncoder().encode(mutateJson(new TextDecoder().decode(bytes), rng))
          : Uint8Array.from([
            ...mutateBytes(bytes.subarray(0, 1500), rng),
            ...bytes.subarray(1500),
          ]);
        await Deno.writeFile(`${folder}/${name}`, changed);
        gpu.peakBytes = 0;
        try {
          using _model = await loadCausalLM(gpu, folder, { hub });
        } catch (error) {
          expectTyped(error, folder);
        }
        assertEquals(gpu.liveBytes, 0);
        assert(gpu.peakBytes < 2_000_000, `${gpu.peakBytes} bytes for a model of 450,240`);
        await Deno.writeFile(`${folder}/${name}`, bytes);
      }
    })
  ));

Deno.test("loadCausalLM() takes no memory for sizes that the weights do not have", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await copyGpt2(folder);
      const config = JSON.parse(await Deno.readTextFile(`${GPT2}/config.json`));
      for (const key of ["vocab_size", "n_positions", "n_embd", "n_inner", "n_layer"]) {
        for (const size of [1200, 1e6, 1e9, 2 ** 53 - 8]) {
          const changed = { ...config, [key]: size, n_head: 1 };
          await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(changed));
          expectTyped(await assertRejects(() => loadCausalLM(gpu, folder)), folder);
        }
      }
      assertEquals(gpu.peakBytes, 0);
    })
  ));
