/**
 * Trains a byte-level BPE tokenizer in the manner of GPT-2 and writes it as Hugging Face files.
 *
 *     deno run --allow-read --allow-write weights/train_bpe.ts corpus.txt weights/review-gpt2
 *
 * The corpus has one document a line. Text is lower-cased, in training and by the normalizer
 * written to `tokenizer.json`.
 */

import { Command } from "commander";
import { countWords, learnMerges, type Word } from "./pair_merges.ts";
import { positiveInteger, readCorpus, writeTokenizer } from "./tokenizer_files.ts";
import { byteLevelJson, vocabularyOf } from "./tokenizer_json.ts";

/** The token that ends and starts a document; its id is 0. */
export const END_OF_TEXT = "<|endoftext|>";

/** A vocabulary holds the end-of-text token, the 256 bytes, and one token per merge. */
const SMALLEST_VOCABULARY = 257;

/** GPT-2's split into words, which no merge crosses (Radford et al. 2019, `encoder.py`). */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** What BPE training finds. */
export interface Bpe {
  /** Every token in the order of its id, spelled with {@linkcode byteSymbols}. */
  tokens: string[];
  /** Pairs of tokens to join, the most important first. */
  merges: [string, string][];
}

/**
 * Learns `vocabSize - 257` merges from `documents`, fewer where no pair occurs twice. The result does not
 * depend on the order of the documents.
 *
 * @param vocabSize Tokens to end with, the end-of-text token included.
 * @throws {RangeError} If `vocabSize` leaves no room for the 256 bytes.
 *
 * Source: Sennrich, Haddow & Birch 2016 (arXiv:1508.07909), on bytes.
 */
export function trainBpe(documents: Iterable<string>, vocabSize: number): Bpe {
  if (!Number.isInteger(vocabSize) || vocabSize < SMALLEST_VOCABULARY) {
    throw new RangeError(
      `Cannot train a tokenizer with ${vocabSize} tokens: the end-of-text token and the bytes ` +
        `alone are ${SMALLEST_VOCABULARY}; ask for at least as many`,
    );
  }
  const symbols = byteSymbols();
  const tokens = [END_OF_TEXT, ...symbols.toSorted()];
  const idOfByte = symbols.map((symbol) => tokens.indexOf(symbol));
  const words = toWords(documents, idOfByte);
  const merges = learnMerges(words, { tokens, vocabSize, join: (left, right) => left + right });
  return { tokens, merges };
}

/**
 * GPT-2's printable stand-in for each byte: itself where it prints, else one of U+0100 onwards.
 *
 * Source: `bytes_to_unicode` of GPT-2's `encoder.py`.
 */
export function byteSymbols(): string[] {
  const prints = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  let substitute = 0x100;
  return Array.from(
    { length: 256 },
    (_, byte) => String.fromCodePoint(prints(byte) ? byte : substitute++),
  );
}

/** The content of `tokenizer.json` for `bpe`: lower-casing, GPT-2's word split, no special ends. */
export function tokenizerJson({ tokens, merges }: Bpe): Record<string, unknown> {
  const vocab = vocabularyOf(tokens);
  return byteLevelJson({ vocab, merges, special: [END_OF_TEXT], lowercase: true });
}

/** The content of `tokenizer_config.json`; `maxLength` is the model's context in tokens. */
export function tokenizerConfig(maxLength: number): Record<string, unknown> {
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    model_max_length: maxLength,
    bos_token: END_OF_TEXT,
    eos_token: END_OF_TEXT,
    clean_up_tokenization_spaces: false,
  };
}

function toWords(documents: Iterable<string>, idOfByte: number[]): Word[] {
  const words = function* () {
    for (const document of documents) yield* document.toLowerCase().match(WORDS) ?? [];
  };
  const encoder = new TextEncoder();
  return Array.from(countWords(words()), ([word, count]) => ({
    ids: Array.from(encoder.encode(word), (byte) => idOfByte[byte]),
    count,
  }));
}

if (import.meta.main) {
  const command = new Command("train_bpe")
    .description("Train a byte-level BPE tokenizer from a text file with one document a line.")
    .argument("<corpus>", "text file, UTF-8; of a .jsonl file, the field text")
    .argument("<folder>", "where tokenizer.json and tokenizer_config.json go")
    .option("--vocab-size <tokens>", "with <|endoftext|>", positiveInteger, 4096)
    .option("--max-length <tokens>", "context of the model", positiveInteger, 128)
    .parse(Deno.args, { from: "user" });
  const [corpus, folder] = command.processedArgs;
  const { vocabSize, maxLength } = command.opts();

  const bpe = trainBpe(await readCorpus(corpus), vocabSize);
  await writeTokenizer(folder, {
    tokenizer: tokenizerJson(bpe),
    config: tokenizerConfig(maxLength),
  });
}
