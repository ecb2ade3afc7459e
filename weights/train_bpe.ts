/**
 * Trains a byte-level BPE tokenizer in the manner of GPT-2 and writes it as Hugging Face files.
 *
 *     deno run --allow-read --allow-write weights/train_bpe.ts corpus.txt weights/review-gpt2
 *
 * The corpus has one document a line. Text is lower-cased, in training and by the normalizer
 * written to `tokenizer.json`.
 */

import { Command, InvalidArgumentError } from "commander";

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

/** A distinct word of the corpus, as token ids, and how often it occurs. */
interface Word {
  ids: number[];
  count: number;
}

/**
 * Learns `vocabSize - 257` merges from `documents`, each time joining the most frequent pair of
 * neighbouring tokens; of equally frequent pairs, the one with the smallest ids.
 *
 * Stops early where no pair occurs twice. The result does not depend on the order of the documents.
 *
 * @param vocabSize Tokens to end with, the end-of-text token included.
 * @throws {RangeError} If `vocabSize` leaves no room for the 256 bytes.
 *
 * Source: Sennrich, Haddow & Birch 2016 (arXiv:1508.07909) algorithm 1, on bytes.
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
  const words = countWords(documents, idOfByte);
  const pairs = new PairIndex(words);
  const merges: [string, string][] = [];

  while (tokens.length < vocabSize) {
    const best = pairs.mostFrequent();
    if (best === undefined) break;
    const [left, right] = best;
    pairs.merge(left, right, tokens.length);
    merges.push([tokens[left], tokens[right]]);
    tokens.push(tokens[left] + tokens[right]);
  }
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
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  const endOfText = { id: 0, content: END_OF_TEXT, special: true };
  const asWritten = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [{ ...endOfText, ...asWritten }],
    normalizer: { type: "Lowercase" },
    pre_tokenizer: { ...byteLevel, use_regex: true },
    post_processor: null,
    decoder: { ...byteLevel, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
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

function countWords(documents: Iterable<string>, idOfByte: number[]): Word[] {
  const counts = new Map<string, number>();
  for (const document of documents) {
    for (const word of document.toLowerCase().match(WORDS) ?? []) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({
    ids: Array.from(encoder.encode(word), (byte) => idOfByte[byte]),
    count,
  }));
}

/** How often each pair of neighbours occurs, and in which words; kept up to date by merges. */
class PairIndex {
  #pairs = new Map<number, { count: number; words: Set<Word> }>();

  constructor(words: Word[]) {
    for (const word of words) this.#add(word);
  }

  /** The pair with the highest count, or undefined where none occurs twice. */
  mostFrequent(): [number, number] | undefined {
    let bestKey = 0;
    let bestCount = 1;
    for (const [key, { count }] of this.#pairs) {
      if (count > bestCount || (count === bestCount && key < bestKey)) {
        bestKey = key;
        bestCount = count;
      }
    }
    return bestCount > 1 ? [Math.floor(bestKey / RADIX), bestKey % RADIX] : undefined;
  }

  /** Replaces `left right` by `joined`, from left to right, in every word that has it. */
  merge(left: number, right: number, joined: number): void {
    for (const word of this.#pairs.get(keyOf(left, right))!.words) {
      this.#remove(word);
      word.ids = mergeIds(word.ids, left, right, joined);
      this.#add(word);
    }
  }

  #add(word: Word): void {
    for (const key of pairKeys(word)) {
      const pair = this.#pairs.get(key);
      if (pair === undefined) {
        this.#pairs.set(key, { count: word.count, words: new Set([word]) });
      } else {
        pair.count += word.count;
        pair.words.add(word);
      }
    }
  }

  #remove(word: Word): void {
    for (const key of pairKeys(word)) {
      const pair = this.#pairs.get(key)!;
      pair.count -= word.count;
      pair.words.delete(word);
      if (pair.count === 0) this.#pairs.delete(key);
    }
  }
}

/** Larger than any vocabulary, so that a pair of ids is one number that sorts like the pair. */
const RADIX = 2 ** 24;

function keyOf(left: number, right: number): number {
  return left * RADIX + right;
}

function pairKeys({ ids }: Word): number[] {
  return ids.slice(1).map((id, i) => keyOf(ids[i], id));
}

function mergeIds(ids: number[], left: number, right: number, joined: number): number[] {
  const merged: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const here = ids[i] === left && ids[i + 1] === right;
    merged.push(here ? joined : ids[i]);
    if (here) i++;
  }
  return merged;
}

async function writeJson(path: string, content: unknown): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(content, null, 2) + "\n");
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("Expected 1 or more.");
  return value;
}

if (import.meta.main) {
  const command = new Command("train_bpe")
    .description("Train a byte-level BPE tokenizer from a text file with one document a line.")
    .argument("<corpus>", "text file, UTF-8")
    .argument("<folder>", "where tokenizer.json and tokenizer_config.json go")
    .option("--vocab-size <tokens>", "with <|endoftext|>", positiveInteger, 4096)
    .option("--max-length <tokens>", "context of the model", positiveInteger, 128)
    .parse(Deno.args, { from: "user" });
  const [corpus, folder] = command.processedArgs;
  const { vocabSize, maxLength } = command.opts();

  const documents = (await Deno.readTextFile(corpus)).split("\n");
  const bpe = trainBpe(documents, vocabSize);
  await Deno.mkdir(folder, { recursive: true });
  await writeJson(`${folder}/tokenizer.json`, tokenizerJson(bpe));
  await writeJson(`${folder}/tokenizer_config.json`, tokenizerConfig(maxLength));
}
