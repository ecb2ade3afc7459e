import { assertEquals, assertThrows } from "@std/assert";
import { loadTokenizer, readTokenizer } from "../../model/tokenizer.ts";
import {
  byteSymbols,
  END_OF_TEXT,
  tokenizerConfig,
  tokenizerJson,
  trainBpe,
} from "../../weights/train_bpe.ts";

const SENTENCES = [
  "The movie was good, the acting wasn't.",
  "A good movie; a GOOD naïve comedy...",
  "It's 1984 and 1985 all over again, isn't it?",
  "mississippi   mississippi aaaaaa",
  "日本語 日本語",
];

Deno.test("trainBpe() joins the most frequent pair, and of equals the one with the smallest ids", () => {
  // a-b occurs 3 times; then b-d and ab-c twice each, and the id of b is smaller than that of ab.
  const { merges, tokens } = trainBpe(["abc", "abc", "ab", "bd", "bd"], 260);
  assertEquals(merges, [["a", "b"], ["b", "d"], ["ab", "c"]]);
  assertEquals(tokens.slice(257), ["ab", "bd", "abc"]);
});

Deno.test("trainBpe() finds the merges of the Rust trainer", () => {
  // tokenizers 0.23.2: BpeTrainer(vocab_size=290, min_frequency=2) on the lower-cased sentences.
  const expected =
    "Ġ a|i s|a a|is s|g o|o d|o v|Ġ m|Ġ go|Ġgo od|' t|. .|1 9|a s|h e|i e|i n|i p|i t|" +
    "p i|t he|w as|¥ æ|ª ŀ|¬ è|æ Ĺ|Ġ 19|Ġ was|ľ ¬è|iss iss|ov ie|Ġm ovie|ip pi";
  const { merges } = trainBpe(SENTENCES, 290);
  assertEquals(merges.map((pair) => pair.join(" ")), expected.split("|"));
});

Deno.test("trainBpe() stops where no pair occurs twice", () => {
  assertEquals(trainBpe(["abab"], 4096).merges, [["a", "b"]]);
  assertEquals(trainBpe([], 4096).tokens.length, 257);
});

Deno.test("trainBpe() rejects a vocabulary without room for the bytes", () => {
  assertThrows(() => trainBpe(SENTENCES, 256), RangeError, "Cannot train a tokenizer with 256");
});

Deno.test("byteSymbols() are 256 different characters that print", () => {
  const symbols = byteSymbols();
  assertEquals(new Set(symbols).size, 256);
  assertEquals([symbols[0x41], symbols[0x20], symbols[0x0a], symbols[0xad]], ["A", "Ġ", "Ċ", "Ń"]);
});

Deno.test("tokenizerJson() makes a tokenizer that lower-cases and keeps every other character", () => {
  const bytes = (content: unknown) => new TextEncoder().encode(JSON.stringify(content));
  const bpe = trainBpe(SENTENCES, 290);
  const codec = loadTokenizer(bytes(tokenizerJson(bpe)), bytes(tokenizerConfig(128)));
  assertEquals([codec.vocabSize, codec.eosId, codec.bosId], [290, 0, 0]);
  assertEquals(codec.decode([0]), END_OF_TEXT);
  const text = ` The GOOD  movie,\t"unseen" 日本 🎬 wasn't\n`;
  assertEquals(codec.decode(codec.encode(text)), text.toLowerCase());
});

Deno.test("the tokenizer of review-gpt2 gives the ids of the Rust tokenizer", async () => {
  const codec = await readTokenizer("weights/review-gpt2");
  assertEquals(codec.vocabSize, 4096);
  assertEquals(
    codec.encode("The acting was SUPERB, but it's 90 minutes too long."),
    [341, 1135, 422, 4030, 12, 364, 308, 313, 3085, 1132, 630, 852, 14],
  );
  assertEquals(codec.encode("naïve café"), [1998, 128, 108, 312, 1020, 70, 128, 103]);
});
