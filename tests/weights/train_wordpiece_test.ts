import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Tokenizer } from "@huggingface/tokenizers";
import { JsonLinesError } from "../../weights/jsonl.ts";
import { readCorpus } from "../../weights/tokenizer_files.ts";
import { trainWordPiece, wordPieceConfig } from "../../weights/train_wordpiece.ts";
import { BERT_TOKENS, wordPieceJson } from "../../weights/tokenizer_json.ts";
import { withFolder } from "../helpers/folder.ts";

/** No two pairs are equally frequent before the 43rd token, so that every trainer must find the same. */
const CORPUS = Object.entries({ low: 23, lower: 9, newest: 31, widest: 17, Unlikely: 5, néw: 3 })
  .flatMap(([word, count]) => Array<string>(count).fill(word));

Deno.test("trainWordPiece() finds the vocabulary of the Rust trainer", () => {
  // tokenizers 0.23.2: WordPieceTrainer(vocab_size=42, min_frequency=2) with BertNormalizer and BertPreTokenizer.
  const alphabet = "d e i k l n o r s t u w y ##d ##e ##i ##k ##l ##n ##o ##r ##s ##t ##w ##y";
  const joined = "##es ##est ne new lo low newest wi ##dest widest ##er lower";
  const tokens = trainWordPiece(CORPUS, 42);
  assertEquals(tokens.slice(0, 5), [...BERT_TOKENS]);
  assertEquals(tokens.slice(5, 30).sort(), alphabet.split(" ").sort());
  assertEquals(tokens.slice(30), joined.split(" "));
});

Deno.test("trainWordPiece() does not depend on the order of the documents", () => {
  assertEquals(trainWordPiece(CORPUS.toReversed(), 60), trainWordPiece(CORPUS, 60));
});

Deno.test("trainWordPiece() leaves out words with rare characters and endless words", () => {
  const ideographs = Array.from({ length: 1100 }, (_, i) => String.fromCodePoint(0x4e00 + i));
  const tokens = trainWordPiece([...ideographs, ...CORPUS, "x".repeat(101)], 2000);
  assertEquals(tokens.filter((token) => token >= "一").length, 1000 - 13); // the most frequent ones
  assertEquals(tokens.includes("x"), false);
});

Deno.test("trainWordPiece() rejects a vocabulary without room for the characters", () => {
  assertThrows(() => trainWordPiece(CORPUS, 29), RangeError, "alone are 30; ask for at least");
  assertEquals(trainWordPiece([], 5), [...BERT_TOKENS]);
});

Deno.test("wordPieceJson() makes a tokenizer that reads text as BERT does", () => {
  const tokens = trainWordPiece(CORPUS, 42);
  const tokenizer = new Tokenizer(wordPieceJson(tokens), wordPieceConfig(128));
  const spell = (text: string) => tokenizer.encode(text).tokens;
  assertEquals(spell("The  LOWEST nèwest\tlow"), [
    ...["[CLS]", "[UNK]", "low", "##est", "newest", "low", "[SEP]"], // no token is "t", "h" or "e"
  ]);
  assertEquals(spell(""), ["[CLS]", "[SEP]"]);
  assertEquals(tokenizer.encode("low").ids, [2, tokens.indexOf("low"), 3]);
  assertEquals(
    tokenizer.decode([2, ...tokenizer.encode("lower").ids], { skip_special_tokens: true }),
    "lower",
  );
});

Deno.test("readCorpus() takes lines, or the texts of JSON lines, and names a broken one", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.txt`, "one\ntwo");
    await Deno.writeTextFile(
      `${folder}/a.jsonl`,
      '{"text": "one"}\n\n{"text": "two", "label": 1}\n',
    );
    assertEquals(await readCorpus(`${folder}/a.txt`), ["one", "two"]);
    assertEquals(await readCorpus(`${folder}/a.jsonl`), ["one", "two"]);

    const refused: [content: string, says: string][] = [
      ['{"text": "one"}\n{"text": 2}', 'b.jsonl, line 2: it has no "text"'],
      [
        '{"text": "one"}\n{"text": ',
        "b.jsonl, line 2: column 10: the text ends where a value should be",
      ],
      ['["one"]', "line 1: it is not a JSON object"],
    ];
    for (const [content, says] of refused) {
      await Deno.writeTextFile(`${folder}/b.jsonl`, content);
      await assertRejects(() => readCorpus(`${folder}/b.jsonl`), JsonLinesError, says);
    }
    await Deno.writeFile(`${folder}/b.jsonl`, Uint8Array.of(0xff));
    await assertRejects(() => readCorpus(`${folder}/b.jsonl`), JsonLinesError, "it is not UTF-8");
    await assertRejects(
      () => readCorpus(`${folder}/c.jsonl`),
      JsonLinesError,
      "there is no such file",
    );
  }));
