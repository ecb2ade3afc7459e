import { type TextCodec, TokenizerError } from "../model/tokenizer.ts";
import type { Rng } from "./rng.ts";

/** The parts of a WordPiece `tokenizer.json` that say what a word is. */
interface WordPieceJson {
  model?: {
    type?: string;
    continuing_subword_prefix?: string;
    vocab?: Readonly<Record<string, number>>;
  };
}

/** What hides a word, the first that the vocabulary has. */
const HIDDEN = ["[MASK]", "[UNK]"];

/** Texts of fewer words are not cut. */
const SHORTEST_TO_CUT = 13;

/** The least that a cut leaves of a text. */
const LEAST_LEFT = 0.6;

/** How a text is changed in training, so that it is never quite the same. */
export interface WordNoiseOptions {
  /** Probability that a word is hidden. */
  dropout: number;
  /** Probability that a text of more than twelve words is cut at both ends, to 60 % of its words or more. */
  crop: number;
  rng: Rng;
}

/**
 * A function that takes words from texts, against learning them by heart: a whole word of a row of token ids
 * becomes one [MASK], and words at the ends are left out. The tokens that start and end the text stay.
 *
 * @throws {TokenizerError} If the tokenizer is no WordPiece with a token to hide words behind.
 */
export function wordNoise(
  codec: TextCodec,
  { dropout, crop, rng }: WordNoiseOptions,
): (ids: readonly number[]) => number[] {
  const { continuing, hidden } = readWordPiece(codec);
  const isEnd = (id: number) => id === codec.bosId || id === codec.eosId;
  return (ids) => {
    const words: number[][] = [];
    for (const id of ids) {
      if (isEnd(id)) continue;
      if (continuing.has(id) && words.length > 0) words.at(-1)!.push(id);
      else words.push([id]);
    }
    const kept = words.length >= SHORTEST_TO_CUT && rng.next() < crop ? cut(words, rng) : words;
    const noisy = kept.flatMap((word) => rng.next() < dropout ? [hidden] : word);
    return [...ids.slice(0, 1).filter(isEnd), ...noisy, ...ids.slice(1).slice(-1).filter(isEnd)];
  };
}

/** A run of the words, of random length and place. */
function cut<W>(words: readonly W[], rng: Rng): W[] {
  const least = Math.ceil(LEAST_LEFT * words.length);
  const length = least + rng.int(words.length - least + 1);
  const from = rng.int(words.length - length + 1);
  return words.slice(from, from + length);
}

/** The ids of tokens that go on with a word, and the one that hides a word. */
function readWordPiece({ files }: TextCodec): { continuing: Set<number>; hidden: number } {
  const json: WordPieceJson = JSON.parse(new TextDecoder().decode(files["tokenizer.json"]));
  const { type, vocab = {}, continuing_subword_prefix: mark = "##" } = json.model ?? {};
  const hidden = HIDDEN.find((token) => token in vocab);
  if (type !== "WordPiece" || hidden === undefined) {
    throw new TokenizerError(
      "Cannot take words from texts: the tokenizer is no WordPiece with a [MASK] token; " +
        "train without word dropout and crops",
    );
  }
  const marked = Object.entries(vocab).filter(([token]) => token.startsWith(mark));
  return { continuing: new Set(marked.map(([, id]) => id)), hidden: vocab[hidden] };
}
