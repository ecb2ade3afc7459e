import type { CausalLM } from "../model/causal_lm.ts";
import type { GenerateOptions } from "../model/generate.ts";
import { padLeft, type TokenRows, TokenRowsError, withoutLast } from "../model/token_batch.ts";
import type { Sample } from "../reward/reward.ts";
import { responseMask } from "./response.ts";

/** A batch of B episodes: prompts of at most Q tokens, responses of at most R. */
export interface Rollout {
  /** (B) what the reward sees. */
  samples: Sample[];
  /** (B, Q + R) prompts padded on the left, responses on the right. */
  inputIds: number[][];
  /** (B, Q + R) 1 on prompts and responses. */
  attentionMask: number[][];
  /** (B, R) 1 on response tokens, the end of text included. */
  mask: number[][];
  /** Columns before the first response token. */
  Q: number;
  /** Columns of responses. */
  R: number;
  /** (B) tokens of each prompt. */
  queryLengths: number[];
  /** (B) tokens of each response. */
  responseLengths: number[];
  /** (B) whether the end of text came before the limit on the length. */
  ended: boolean[];
}

/** How responses are sampled: what `generate` takes, and a limit on prompt and response together. */
export interface RolloutOptions extends Omit<GenerateOptions, "maxNewTokens"> {
  /** Most tokens of the longest prompt and its response together; the model's context if that is less. */
  maxLength: number;
  /** Most tokens of a response; what `maxLength` leaves if absent. */
  maxNewTokens?: number | undefined;
}

/**
 * Samples a response to every prompt.
 *
 * The ids that were sampled are what the update trains on; text is for the reward and for people only.
 *
 * @throws {TokenRowsError} If a prompt is empty or leaves no room for a response.
 */
export async function sampleRollout(
  policy: CausalLM,
  prompts: readonly string[],
  { maxLength, maxNewTokens = Infinity, ...options }: RolloutOptions,
): Promise<Rollout> {
  const { tokenizer } = policy;
  const { promptIds, room } = encodePrompts(policy, prompts, maxLength);
  const { ids, texts, stopped } = await policy.generate(promptIds, {
    ...options,
    maxNewTokens: Math.min(maxNewTokens, room),
  });
  const samples = texts.map((response, b) => ({
    prompt: prompts[b],
    response,
    text: tokenizer.decode([...promptIds[b], ...ids[b]], { skipSpecialTokens: true }),
    ended: stopped[b],
  }));
  return makeRollout({ promptIds, responseIds: ids, ended: stopped, samples }, tokenizer.eosId);
}

/**
 * The prompts' token ids, and how many more tokens the longest leaves room for.
 *
 * @param maxLength Most tokens of prompt and response together; the model's context if that is less.
 * @throws {TokenRowsError} If there are no prompts, one is empty, or one leaves no room for a response.
 */
export function encodePrompts(
  { tokenizer, config }: Pick<CausalLM, "tokenizer" | "config">,
  prompts: readonly string[],
  maxLength: number,
): { promptIds: number[][]; room: number } {
  const limit = Math.min(maxLength, config.nPositions);
  const promptIds = prompts.map((prompt) => {
    const ids = tokenizer.encode(prompt);
    if (ids.length > 0 && ids.length < limit) return ids;
    const shown = JSON.stringify(prompt.slice(0, 60));
    if (ids.length === 0) {
      throw new TokenRowsError(
        `Cannot respond to the prompt ${shown}: it has no tokens; give it at least one word`,
      );
    }
    const remedy = limit < config.nPositions ? "shorten it or raise maxLength" : "shorten it";
    throw new TokenRowsError(
      `Cannot respond to the prompt ${shown}: it has ${ids.length} tokens, and prompt and response ` +
        `together may have ${limit}; ${remedy}`,
    );
  });
  if (prompts.length === 0) {
    throw new TokenRowsError("Cannot respond: there are no prompts; give at least one");
  }
  return { promptIds, room: limit - Math.max(...promptIds.map((ids) => ids.length)) };
}

/** Lays prompts and responses out as one padded batch. */
export function makeRollout(
  { promptIds, responseIds, ended, samples }: {
    promptIds: number[][];
    responseIds: number[][];
    ended: boolean[];
    samples: Sample[];
  },
  padId: number,
): Rollout {
  const queries = padLeft(promptIds, padId);
  const Q = queries.inputIds[0].length;
  const responseLengths = responseIds.map((ids) => ids.length);
  const R = Math.max(...responseLengths);
  const mask = responseMask(responseLengths, R);
  return {
    samples,
    inputIds: queries.inputIds.map((row, b) => [
      ...row,
      ...responseIds[b],
      ...Array(R - responseLengths[b]).fill(padId),
    ]),
    attentionMask: queries.attentionMask.map((row, b) => [...row, ...mask[b]]),
    mask,
    Q,
    R,
    queryLengths: promptIds.map((ids) => ids.length),
    responseLengths,
    ended,
  };
}

/** Some rows of a rollout, all by default, without the last token of each, which predicts nothing. */
export function contextsOf(
  { inputIds, attentionMask }: Rollout,
  rows: readonly number[] = inputIds.map((_, b) => b),
): TokenRows {
  return withoutLast({
    inputIds: rows.map((b) => inputIds[b]),
    attentionMask: rows.map((b) => attentionMask[b]),
  });
}

/** One response token: the row it belongs to, and the id. */
export interface ResponseToken {
  b: number;
  r: number;
  id: number;
}

/** The response tokens of some rows of a rollout, row after row: the order of every compact (N) tensor. */
export function responseTokens(
  { inputIds, mask, Q }: Rollout,
  rows: readonly number[],
): ResponseToken[] {
  return rows.flatMap((b) =>
    mask[b].flatMap((bit, r) => bit === 0 ? [] : [{ b, r, id: inputIds[b][Q + r] }])
  );
}

/** Spreads N numbers, in the order of {@linkcode responseTokens}, over (B, R); 0 elsewhere. */
export function toRows(
  numbers: ArrayLike<number>,
  mask: readonly (readonly number[])[],
): number[][] {
  let n = 0;
  return mask.map((row) => row.map((bit) => bit === 0 ? 0 : numbers[n++]));
}
