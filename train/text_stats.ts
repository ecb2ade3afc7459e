import { ngramsOf, tokensOf } from "../reward/words.ts";
import { mean } from "./stats.ts";

/**
 * Distinct-n: different n-grams of words over all n-grams, pooled over the texts. Near 1 in lively
 * text, near 0 when every text says the same; 0 when there is no n-gram.
 *
 * It falls as texts get more or longer: compare equal numbers of texts of like length.
 *
 * Source: Li et al. 2016 (arXiv:1510.03055) section 5.
 */
export function distinctN(texts: readonly string[], n: number): number {
  const ngrams = texts.flatMap((text) => ngramsOf(text, n));
  return ngrams.length === 0 ? 0 : new Set(ngrams).size / ngrams.length;
}

/**
 * Share of a text's n-grams that repeat an earlier one of the same text, averaged over the texts
 * that have any. 0 is no repetition, near 1 is a loop.
 *
 * Source: seq-rep-n of Welleck et al. 2020 (arXiv:1908.04319) section 6.
 */
export function repetitionRate(texts: readonly string[], n: number): number {
  const perText = texts.map((text) => ngramsOf(text, n)).filter((ngrams) => ngrams.length > 0);
  return mean(perText.map((ngrams) => 1 - new Set(ngrams).size / ngrams.length));
}

/** Mean number of words and punctuation marks. */
export function meanLength(texts: readonly string[]): number {
  return mean(texts.map((text) => tokensOf(text).length));
}
