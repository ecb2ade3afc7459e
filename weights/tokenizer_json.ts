/** The content of `tokenizer.json` for the two kinds of tokenizers that are made here: GPT-2's and BERT's. */

/** BERT's tokens that text never gives: padding, unknown word, start, end, masked word. */
export const BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const;

/** Marks a token of WordPiece that goes on with a word. */
export const CONTINUING = "##";

/** Words longer than this become [UNK]; BERT's own limit. */
export const LONGEST_WORD = 100;

/** What BERT does to text before it looks for words; by default that of its uncased models. */
export interface BertText {
  lowercase?: boolean;
  /** Take accents away; by default where text is lower-cased. */
  stripAccents?: boolean;
  /** Let every Chinese character be a word. */
  splitChinese?: boolean;
}

/** {@linkcode BertText} as `tokenizer.json` has it. */
export function bertNormalizer(
  { lowercase = true, stripAccents = lowercase, splitChinese = true }: BertText = {},
) {
  return {
    type: "BertNormalizer" as const,
    clean_text: true,
    handle_chinese_chars: splitChinese,
    strip_accents: stripAccents,
    lowercase,
  };
}

/**
 * A WordPiece tokenizer as BERT's: its normalizer, its words, and `[CLS] text [SEP]`.
 *
 * @param tokens Every token in the order of its id, {@linkcode BERT_TOKENS} among them.
 */
export function wordPieceJson(
  tokens: readonly string[],
  text: BertText = {},
): Record<string, unknown> {
  const vocab = vocabularyOf(tokens);
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const single = [special("[CLS]"), { Sequence: { id: "A", type_id: 0 } }, special("[SEP]")];
  const second = [
    { Sequence: { id: "B", type_id: 1 } },
    { SpecialToken: { id: "[SEP]", type_id: 1 } },
  ];
  const ends = ["[CLS]", "[SEP]"]
    .map((token) => [token, { id: token, ids: [vocab[token]], tokens: [token] }]);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(BERT_TOKENS, vocab),
    normalizer: bertNormalizer(text),
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single,
      pair: [...single, ...second],
      special_tokens: Object.fromEntries(ends),
    },
    decoder: { type: "WordPiece", prefix: CONTINUING, cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: CONTINUING,
      max_input_chars_per_word: LONGEST_WORD,
      vocab,
    },
  };
}

/**
 * A byte-level BPE tokenizer as GPT-2's, or one that lower-cases text first.
 *
 * @param bpe.vocab The id of every token.
 * @param bpe.merges Pairs of tokens to join, the most important first.
 * @param bpe.special Tokens that text never gives, as far as there are such tokens.
 * @param bpe.added Tokens beyond the vocabulary and their ids; text is searched for those that are not special.
 * @param bpe.prefixSpace Put a space before a text that has none.
 */
export function byteLevelJson(
  { vocab, merges, special, added = {}, lowercase = false, prefixSpace = false }: {
    vocab: Readonly<Record<string, number>>;
    merges: readonly (readonly [string, string])[];
    special: readonly string[];
    added?: Readonly<Record<string, number>>;
    lowercase?: boolean;
    prefixSpace?: boolean;
  },
): Record<string, unknown> {
  const byteLevel = { type: "ByteLevel", add_prefix_space: prefixSpace, trim_offsets: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [
      ...addedTokens(special, vocab),
      ...addedTokens(Object.keys(added).filter((token) => !Object.hasOwn(vocab, token)), added)
        .map((token) => ({ ...token, special: special.includes(token.content) })),
    ],
    normalizer: lowercase ? { type: "Lowercase" } : null,
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
      vocab,
      merges,
    },
  };
}

/** The id of each token of a list: its place. */
export function vocabularyOf(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function addedTokens(tokens: readonly string[], vocab: Readonly<Record<string, number>>) {
  const asWritten = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return [...new Set(tokens)].filter((token) => Object.hasOwn(vocab, token))
    .map((content) => ({ id: vocab[content], content, special: true, ...asWritten }));
}
