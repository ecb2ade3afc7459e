/** The core of BPE and of WordPiece training: joining the most frequent pair of neighbours, again and again. */

/** A distinct word of a corpus, as token ids, and how often it occurs. */
export interface Word {
  ids: number[];
  count: number;
}

/** How often each distinct word occurs. */
export function countWords(words: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** What {@linkcode learnMerges} starts from and grows towards. */
export interface MergeOptions {
  /** Every token so far, in the order of its id; appends the new ones. */
  tokens: string[];
  /** Tokens to end with. */
  vocabSize: number;
  /** Spells the token that two neighbours are joined to. */
  join: (left: string, right: string) => string;
}

/**
 * Joins the most frequent pair of neighbouring tokens until there are `vocabSize` tokens; of equally frequent
 * pairs, the one with the smallest ids. Stops early where no pair occurs twice.
 *
 * The result does not depend on the order of the words, whose ids it changes.
 *
 * @returns The pairs joined, the most important first.
 *
 * Source: Sennrich, Haddow & Birch 2016 (arXiv:1508.07909) algorithm 1.
 */
export function learnMerges(
  words: readonly Word[],
  { tokens, vocabSize, join }: MergeOptions,
): [string, string][] {
  const pairs = new PairIndex(words);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges: [string, string][] = [];
  while (tokens.length < vocabSize) {
    const best = pairs.mostFrequent();
    if (best === undefined) break;
    const [left, right] = best;
    const joined = join(tokens[left], tokens[right]);
    if (!ids.has(joined)) ids.set(joined, tokens.push(joined) - 1); // two pairs may spell the same
    pairs.merge(left, right, ids.get(joined)!);
    merges.push([tokens[left], tokens[right]]);
  }
  return merges;
}

/** How often each pair of neighbours occurs, and in which words; kept up to date by merges. */
class PairIndex {
  #pairs = new Map<number, { count: number; words: Set<Word> }>();

  constructor(words: readonly Word[]) {
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
