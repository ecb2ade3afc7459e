/** The responses that the guard looks back on, and the figures that its rules compare. */

import type { Rollout } from "./rollout.ts";
import { maskedRowSums, type Rows } from "./rows.ts";
import { sum } from "./stats.ts";
import { distinctN, repetitionRate } from "./text_stats.ts";

/** What the guard keeps of a response, ready for JSON. Sums are over its tokens, in nats. */
export interface WatchedResponse {
  text: string;
  /** Response tokens. */
  tokens: number;
  /** Of the reward; null where it gave none that is finite, or was not asked. */
  score: number | null;
  /** Exact KL to the reference. */
  kl: number;
  /** Of the distributions that the tokens were drawn from. */
  entropy: number;
  /** Minus the reference's log-probability. */
  surprise: number;
}

/** Figures of a window of responses. */
export interface WindowFigures {
  /** Nats per token. */
  kl: number;
  /** Nats per token. */
  entropy: number;
  /** Perplexity that the reference gives the responses. */
  perplexity: number;
  /** Share of distinct word pairs among all of the window. */
  distinct: number;
  /** Share of word pairs that repeat one of the same response, averaged over the responses. */
  repetition: number;
  /** Mean tokens of a response. */
  length: number;
}

/** The responses of a rollout; without those whose figures are not finite, which say nothing. */
export function watchedResponses(
  { samples, mask, responseLengths }: Pick<Rollout, "samples" | "mask" | "responseLengths">,
  { klFull, entropy, refLogprobs }: Record<"klFull" | "entropy" | "refLogprobs", Rows>, // (B, R)
  scores: ArrayLike<number> = [],
): WatchedResponse[] {
  const [kls, entropies, logprobs] = [klFull, entropy, refLogprobs].map((rows) =>
    maskedRowSums(rows, mask)
  );
  return samples.map(({ response }, b) => ({
    text: response,
    tokens: responseLengths[b],
    score: Number.isFinite(scores[b]) ? scores[b] : null,
    kl: kls[b],
    entropy: entropies[b],
    surprise: -logprobs[b],
  })).filter(({ kl, entropy, surprise }) => [kl, entropy, surprise].every(Number.isFinite));
}

/** The figures of at least one response. */
export function windowFigures(window: readonly WatchedResponse[]): WindowFigures {
  const texts = window.map(({ text }) => text);
  const tokens = sum(window.map((response) => response.tokens));
  const perToken = (key: "kl" | "entropy" | "surprise") =>
    sum(window.map((response) => response[key])) / tokens;
  return {
    kl: perToken("kl"),
    entropy: perToken("entropy"),
    perplexity: Math.exp(perToken("surprise")),
    distinct: distinctN(texts, 2),
    repetition: repetitionRate(texts, 2),
    length: tokens / window.length,
  };
}

/** The scores among them. */
export function scoresOf(window: readonly WatchedResponse[]): number[] {
  return window.map(({ score }) => score).filter((score) => score !== null);
}
