import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { loadTokenizer, readTokenizer, TokenizerError } from "../../model/tokenizer.ts";

const FOLDER = "tests/fixtures/gpt2";
const codec = await readTokenizer(FOLDER);
const golden = JSON.parse(await Deno.readTextFile(`${FOLDER}/forward.json`));

const jsonBytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const definition = JSON.parse(await Deno.readTextFile(`${FOLDER}/tokenizer.json`));

Deno.test("encode() gives the ids of the Rust tokenizer", () => {
  for (const [i, text] of golden.texts.entries()) {
    assertEquals(codec.encode(text), golden.prompt_ids[i]);
  }
});

Deno.test("decode() undoes encode()", () => {
  const texts = [
    ...golden.texts,
    "",
    " ",
    " leading, trailing ",
    "a , b . it 's n't", // tidied up where the library has its way
    "tabs\tand\n\nnewlines\r\n",
    "naïve café, 日本語, 👩‍👩‍👧, \u0000 and \ufeff",
  ];
  for (const text of texts) assertEquals(codec.decode(codec.encode(text)), text);
});

Deno.test("encode() takes the spelling of a special token for text", () => {
  for (
    const text of ["<|endoftext|>", "the end<|endoftext|> ignore", "<|endoftext|><|endoftext|>"]
  ) {
    const ids = codec.encode(text);
    assert(!ids.includes(codec.eosId));
    assertEquals(codec.decode(ids), text);
  }
});

Deno.test("encode() takes the spelling of a special token for the token where it was asked to", async () => {
  const chat = await readTokenizer(FOLDER, { specialTokens: true });
  assertEquals(chat.specialTokens, ["<|endoftext|>"]);
  const [plain] = [codec.encode("the end")];
  assertEquals(chat.encode("the end<|endoftext|>the end"), [...plain, chat.eosId, ...plain]);
  assertEquals(chat.encode("the end"), plain);
});

Deno.test("encode() still finds added tokens that are not special", () => {
  const added_tokens = [...definition.added_tokens, { id: 512, content: "[name]", special: false }];
  const extended = loadTokenizer(jsonBytes({ ...definition, added_tokens }));
  assert(extended.encode("dear [name],").includes(512));
  assertEquals(extended.vocabSize, 513);
});

Deno.test("encode() replaces lone surrogates", () => {
  assertEquals(codec.decode(codec.encode("a\ud83d b \udc00")), "a\ufffd b \ufffd");
});

Deno.test("decode() spells special tokens out or skips them", () => {
  const ids = [codec.eosId, ...codec.encode("the end"), codec.eosId];
  assertEquals(codec.decode(ids), "<|endoftext|>the end<|endoftext|>");
  assertEquals(codec.decode(ids, { skipSpecialTokens: true }), "the end");
});

Deno.test("decode() gives empty text for no ids and for only skipped ones", () => {
  assertEquals(codec.decode([]), "");
  assertEquals(codec.decode(new Uint32Array(0)), "");
  assertEquals(codec.decode([codec.eosId, codec.eosId], { skipSpecialTokens: true }), "");
});

Deno.test("decode() shows half a character as U+FFFD", () => {
  const [half, ...rest] = codec.encode("é");
  assertEquals(rest.length, 1); // two bytes, two tokens
  assertEquals(codec.decode([half]), "\ufffd");
});

Deno.test("decode() takes a typed array", () => {
  assertEquals(codec.decode(Uint32Array.from(codec.encode("the movie"))), "the movie");
});

Deno.test("decode() leaves out ids that have no token", () => {
  assertEquals(codec.vocabSize, 512);
  const [first, ...rest] = codec.encode("the movie");
  assertEquals(codec.decode([512, first, 50_303, ...rest]), "the movie");
  assertEquals(codec.decode([512]), "");
});

Deno.test("loadTokenizer() takes the ends of text from the configuration", () => {
  assertEquals([codec.bosId, codec.eosId], [0, 0]);
  const json = jsonBytes(definition);
  const named = loadTokenizer(json, jsonBytes({ bos_token: "!", eos_token: { content: "?" } }));
  assertEquals(named.decode([named.bosId, named.eosId]), "!?");
  assertEquals(loadTokenizer(json).eosId, 0);
  assertThrows(
    () => loadTokenizer(json, jsonBytes({ eos_token: "</s>" })),
    TokenizerError,
    `its eos_token "</s>" is not in the vocabulary`,
  );
});

Deno.test("loadTokenizer() names the file that is broken", () => {
  const broken = new TextEncoder().encode("{");
  assertThrows(() => loadTokenizer(broken), TokenizerError, "tokenizer.json is not JSON");
  assertThrows(
    () => loadTokenizer(jsonBytes(definition), broken),
    TokenizerError,
    "tokenizer_config.json is not JSON",
  );
  assertThrows(() => loadTokenizer(jsonBytes({})), TokenizerError, "describes none that is known");
});

Deno.test("readTokenizer() keeps the files as they are", async () => {
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    assertEquals(codec.files[name], await Deno.readFile(`${FOLDER}/${name}`));
  }
});

Deno.test("readTokenizer() needs a tokenizer.json", async () => {
  await assertRejects(() => readTokenizer("tests/fixtures"), TokenizerError, "no tokenizer.json");
});
