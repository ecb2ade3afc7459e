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

/**
 * A function that hides words from a model in training: each whole word of a row of token ids becomes one
 * [MASK] with probability `share`. What starts and ends the text stays.
 *
 * @throws {TokenizerError} If the tokenizer is no WordPiece with a token to hide words behind.
 */
export function wordDropout(
  codec: TextCodec,
  { share, rng }: { share: number; rng: Rng },
): (ids: readonly number[]) => number[] {
  const json: WordPieceJson = JSON.parse(new TextDecoder().decode(codec.files["tokenizer.json"]));
  const { type, vocab = {}, continuing_subword_prefix: mark = "##" } = json.model ?? {};
  const hidden = HIDDEN.find((token) => token in vocab);
  if (type !== "WordPiece" || hidden === undefined) {
    throw new TokenizerError(
      "Cannot drop words: the tokenizer is no WordPiece with a [MASK] token; train without word dropout",
    );
  }
  const tokens = Object.entries(vocab);
  const continuing = new Set(tokens.filter(([token]) => token.startsWith(mark)).map(([, id]) => id));
  return (ids) => {
    const kept: number[] = [];
    let hides = false;
    for (const id of ids) {
      if (continuing.has(id)) {
        if (!hides) kept.push(id);
        continue;
      }
      hides = id !== codec.bosId && id !== codec.eosId && rng.next() < share;
      kept.push(hides ? vocab[hidden] : id);
    }
    return kept;
  };
}
