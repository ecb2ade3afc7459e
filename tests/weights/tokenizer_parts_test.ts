import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { readTokenizer, type TextCodec, TokenizerError } from "../../model/tokenizer.ts";
import { DISTILBERT } from "../helpers/classifiers.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";

const TEXTS = [
  "This movie was amazing!",
  "",
  "it's 5.99",
  "naïve café — 日本語 😀 test",
  " two  spaces\nand lines",
  "<|endoftext|> [SEP]",
];

/** The model of a folder's `tokenizer.json`. */
async function modelOf(
  folder: string,
): Promise<{ vocab: Record<string, number>; merges: [string, string][] }> {
  return JSON.parse(await Deno.readTextFile(`${folder}/tokenizer.json`)).model;
}

function encoded({ encode, decode, bosId, eosId, vocabSize }: TextCodec) {
  const ids = TEXTS.map(encode);
  return { ids, texts: ids.map((row) => decode(row)), bosId, eosId, vocabSize };
}

for (const ending of ["\n", "\r\n"]) {
  Deno.test(`readTokenizer() reads BERT's vocab.txt as its tokenizer.json, lines ending in ${JSON.stringify(ending)}`, () =>
    withFolder(async (folder) => {
      const { vocab } = await modelOf(DISTILBERT);
      const tokens = Object.entries(vocab).sort(([, a], [, b]) => a - b).map(([token]) => token);
      await Deno.writeTextFile(`${folder}/vocab.txt`, tokens.join(ending) + ending);
      // All that distilbert-base-uncased-finetuned-sst-2-english has.
      const config = { model_max_length: 512, do_lower_case: true };
      await Deno.writeTextFile(`${folder}/tokenizer_config.json`, JSON.stringify(config));
      const codec = await readTokenizer(folder);
      assertEquals(encoded(codec), encoded(await readTokenizer(DISTILBERT)));
      assertEquals([codec.bosId, codec.eosId], [2, 3]);
      assertEquals(Object.keys(codec.files), ["tokenizer.json", "tokenizer_config.json"]);
    }));
}

Deno.test("readTokenizer() keeps case and accents where tokenizer_config.json says so", () =>
  withFolder(async (folder) => {
    const tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "É", "é", "e"];
    await Deno.writeTextFile(`${folder}/vocab.txt`, tokens.join("\n"));
    const ids = async (config: Record<string, unknown>) => {
      await Deno.writeTextFile(`${folder}/tokenizer_config.json`, JSON.stringify(config));
      return (await readTokenizer(folder)).encode("É é e");
    };
    assertEquals(await ids({ do_lower_case: false }), [5, 6, 7]);
    assertEquals(await ids({ do_lower_case: true, strip_accents: false }), [6, 6, 7]);
    assertEquals(await ids({}), [7, 7, 7]);
  }));

Deno.test("readTokenizer() reads GPT-2's vocab.json and merges.txt as its tokenizer.json", () =>
  withFolder(async (folder) => {
    const { vocab, merges } = await modelOf(GPT2);
    await Deno.writeTextFile(`${folder}/vocab.json`, JSON.stringify(vocab));
    const lines = ["#version: 0.2", ...merges.map((pair) => pair.join(" "))];
    await Deno.writeTextFile(`${folder}/merges.txt`, lines.join("\n") + "\n");
    assertEquals(encoded(await readTokenizer(folder)), encoded(await readTokenizer(GPT2)));

    await Deno.writeTextFile(`${folder}/vocab.json`, "{");
    await assertRejects(
      () => readTokenizer(folder),
      TokenizerError,
      "vocab.json is broken: line 1",
    );
    await Deno.remove(`${folder}/merges.txt`);
    await assertRejects(() => readTokenizer(folder), TokenizerError, "no tokenizer.json");
  }));

/** Writes GPT-2's tokenizer as parts, changed. */
async function writeParts(
  folder: string,
  { vocab = {}, merges = [], files = {} }: {
    vocab?: Record<string, unknown>;
    merges?: string[];
    files?: Record<string, unknown>;
  },
): Promise<void> {
  const model = await modelOf(GPT2);
  const lines = ["#version: 0.2", ...model.merges.map((pair) => pair.join(" ")), ...merges];
  await Deno.writeTextFile(`${folder}/merges.txt`, lines.join("\n") + "\n");
  for (
    const [name, content] of Object.entries({
      "vocab.json": { ...model.vocab, ...vocab },
      ...files,
    })
  ) await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(content));
}

Deno.test("readTokenizer() takes special and added tokens from the files beside vocab.json", () =>
  withFolder(async (folder) => {
    await writeParts(folder, {
      files: {
        "added_tokens.json": { "<|pad|>": 512, "[name]": 513 },
        "special_tokens_map.json": { pad_token: "<|pad|>", eos_token: { content: "!" } },
        "tokenizer_config.json": { eos_token: { content: "!" }, add_prefix_space: true },
      },
    });
    const codec = await readTokenizer(folder);
    assertEquals(codec.vocabSize, 514);
    assertEquals(codec.specialTokens.toSorted(), ["!", "<|endoftext|>", "<|pad|>"]);
    assertEquals(codec.decode([codec.eosId]), "!");
    assertEquals(codec.encode("dear [name]").includes(513), true);
    assertEquals(codec.encode("<|pad|>").includes(512), false);
    assertEquals(codec.encode("the movie"), codec.encode(" the movie")); // add_prefix_space
    assertEquals(await codec.decode(codec.encode(" dear [name]")), " dear [name]");
  }));

for (
  const [what, parts, says] of [
    ["an id that is text", { vocab: { x1: "7" } }, 'vocab.json gives the token "x1" the id "7"'],
    ["an id that is taken", { vocab: { x1: 3 } }, 'vocab.json gives the token "x1" the id 3'],
    ["a merge of three", { merges: ["a b c"] }, 'line 257 is "a b c", which does not join'],
    ["a merge to nothing known", { merges: ["qq zz"] }, 'line 257 is "qq zz", which does not join'],
    ["added tokens in a list", { files: { "added_tokens.json": ["a"] } }, "is not a JSON object"],
  ] as const
) {
  Deno.test(`readTokenizer() refuses parts with ${what}`, () =>
    withFolder(async (folder) => {
      await writeParts(folder, structuredClone(parts) as Parameters<typeof writeParts>[1]);
      const error = await assertRejects(() => readTokenizer(folder), TokenizerError, says);
      assertStringIncludes(error.message, `Cannot load the tokenizer in ${folder}: `);
    }));
}
