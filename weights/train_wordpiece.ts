/**
 * Trains a WordPiece tokenizer in the manner of BERT and writes it as Hugging Face files.
 *
 *     deno run --allow-read --allow-write weights/train_wordpiece.ts --out folder train.jsonl
 *
 * The corpus has one document a line, or one in the field `text` of each JSON line. Text is lower-cased and
 * loses its accents, in training and by the normalizer written to `tokenizer.json`.
 */

import { BertNormalizer, BertPreTokenizer } from "@huggingface/tokenizers";
import { Command } from "commander";
import { countWords, learnMerges, type Word } from "./pair_merges.ts";
import { positiveInteger, readCorpus, writeTokenizer } from "./tokenizer_files.ts";
import {
  BERT_TOKENS,
  bertNormalizer,
  type BertText,
  CONTINUING,
  LONGEST_WORD,
  wordPieceJson,
} from "./tokenizer_json.ts";

/** Words with a character that is rarer than the thousand most frequent ones become [UNK] as a whole. */
const MOST_CHARACTERS = 1000;

const TEXT: BertText = { lowercase: true, stripAccents: true };

/**
 * Learns a WordPiece vocabulary of `vocabSize` tokens, fewer where no pair occurs twice: the special tokens,
 * every character, those that go on with a word once more, and then the most frequent pairs of neighbours,
 * joined.
 *
 * The result does not depend on the order of the documents.
 *
 * @returns Every token in the order of its id.
 * @throws {RangeError} If `vocabSize` leaves no room for the characters.
 *
 * Source: the trainer of Hugging Face `tokenizers`, which counts pairs as BPE does (`WordPieceTrainer`).
 */
export function trainWordPiece(documents: Iterable<string>, vocabSize: number): string[] {
  const counts = withFrequentCharacters(countWords(wordsOf(documents)));
  const spelled = counts.map(([word, count]) => ({ symbols: symbolsOf(word), count }));
  const alphabet = [
    ...[...new Set(counts.flatMap(([word]) => [...word]))].sort(),
    ...[...new Set(spelled.flatMap(({ symbols }) => symbols.slice(1)))].sort(),
  ];
  const tokens: string[] = [...BERT_TOKENS, ...alphabet];
  if (tokens.length > vocabSize) {
    throw new RangeError(
      `Cannot train a tokenizer with ${vocabSize} tokens: the characters of the text and the ` +
        `special tokens alone are ${tokens.length}; ask for at least as many`,
    );
  }
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const words: Word[] = spelled.map(({ symbols, count }) => ({
    ids: symbols.map((symbol) => ids.get(symbol)!),
    count,
  }));
  const join = (left: string, right: string) => left + right.slice(CONTINUING.length);
  learnMerges(words, { tokens, vocabSize, join });
  return tokens;
}

/** The content of `tokenizer_config.json`; `maxLength` is the model's context in tokens. */
export function wordPieceConfig(maxLength: number): Record<string, unknown> {
  return {
    tokenizer_class: "DistilBertTokenizer",
    model_max_length: maxLength,
    do_lower_case: true,
    pad_token: "[PAD]",
    unk_token: "[UNK]",
    cls_token: "[CLS]",
    sep_token: "[SEP]",
    mask_token: "[MASK]",
    clean_up_tokenization_spaces: false,
  };
}

/** The words that the tokenizer will see, by the library that will see them. */
function* wordsOf(documents: Iterable<string>): Generator<string> {
  const normalizer = new BertNormalizer(bertNormalizer(TEXT));
  const preTokenizer = new BertPreTokenizer();
  for (const document of documents) {
    yield* preTokenizer.pre_tokenize(normalizer.normalize(document.toWellFormed()));
  }
}

/** The words that are made of frequent characters and short enough to be anything but [UNK]. */
function withFrequentCharacters(counts: ReadonlyMap<string, number>): [string, number][] {
  const words = [...counts].filter(([word]) => [...word].length <= LONGEST_WORD);
  const uses = new Map<string, number>();
  for (const [word, count] of words) {
    for (const character of word) uses.set(character, (uses.get(character) ?? 0) + count);
  }
  const frequent = new Set(
    [...uses].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, MOST_CHARACTERS)
      .map(([character]) => character),
  );
  return words.filter(([word]) => [...word].every((character) => frequent.has(character)));
}

/** The characters of a word; those within it carry the mark. */
function symbolsOf(word: string): string[] {
  return Array.from(word, (character, i) => i === 0 ? character : CONTINUING + character);
}

if (import.meta.main) {
  const command = new Command("train_wordpiece")
    .description("Train a WordPiece tokenizer from texts: one a line, or JSON lines with a text.")
    .argument("<corpora...>", "text files, UTF-8; of a .jsonl file, the field text")
    .requiredOption("--out <folder>", "where tokenizer.json and tokenizer_config.json go")
    .option("--vocab-size <tokens>", "with the special tokens", positiveInteger, 4096)
    .option("--max-length <tokens>", "context of the model", positiveInteger, 128)
    .parse(Deno.args, { from: "user" });
  const { out, vocabSize, maxLength } = command.opts();

  const documents = (await Promise.all(command.processedArgs[0].map(readCorpus))).flat();
  await writeTokenizer(out, {
    tokenizer: wordPieceJson(trainWordPiece(documents, vocabSize), TEXT),
    config: wordPieceConfig(maxLength),
  });
}
