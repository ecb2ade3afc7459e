/** Why the ratio of PPO may not be 1 before the policy has moved, and which of the causes it looks like. */

import type { UpdateStats } from "./metrics.ts";
import type { PpoRun } from "./ppo.ts";
import { makeRollout, type Rollout } from "./rollout.ts";
import { scoreRollout } from "./experience.ts";
import { maskedValues } from "./rows.ts";

/** What tells the causes apart; log-probabilities and differences of them in nats. */
export interface RatioEvidence {
  /** Largest difference between two looks at the same batch. */
  repeat: number;
  /** Largest difference between a response in its padded batch and the same alone; 0 where there is no padding. */
  padding: number;
  /** Mean of the log-ratio in the first update: new less old. */
  mean: number;
  /** Root of its mean square. */
  spread: number;
}

/** A difference of log-probabilities, in nats, that f32 does not make by rounding. */
const ROUNDING = 1e-4;

/** Names the cause that the evidence speaks for. */
export function likelyCause({ repeat, padding, mean, spread }: RatioEvidence): string {
  if (repeat > 0) {
    return `it looks like chance in the forward pass, such as dropout: the same batch differs by up to ` +
      `${shown(repeat)} the second time`;
  }
  if (padding > ROUNDING) {
    return `it looks like padding or positions: a response alone and in its padded batch differ by up to ` +
      shown(padding);
  }
  if (Math.abs(mean) > spread / 2 && spread > ROUNDING) {
    return `it looks like the temperature, or parameters that were changed in between: all tokens are shifted ` +
      `to one side, by ${shown(mean)} on average`;
  }
  return "it looks like rounding: sampling and training use other kernels, shapes or precisions";
}

/**
 * Looks for the evidence with the policy as it is now.
 *
 * Its parameters have moved since the update in question, which changes nothing about what a second look or padding do.
 */
export async function ratioEvidence(
  run: Pick<PpoRun, "policy" | "reference" | "config">,
  rollout: Rollout,
  { policyKl, approxKl }: Pick<UpdateStats, "policyKl" | "approxKl">,
): Promise<RatioEvidence> {
  const look = async (of: Rollout) => (await scoreRollout(run, of, run.config)).logprobs;
  const first = await look(rollout);
  const second = await look(rollout);
  const { queryLengths, responseLengths, mask } = rollout;
  const lengths = queryLengths.map((length, b) => length + responseLengths[b]);
  const shortest = lengths.indexOf(Math.min(...lengths));
  const alone = await look(singleRow(rollout, shortest));
  return {
    repeat: largestDifference(maskedValues(first, mask), maskedValues(second, mask)),
    padding: largestDifference(maskedValues([first[shortest]], [mask[shortest]]), alone[0]),
    mean: -policyKl,
    spread: Math.sqrt(2 * approxKl),
  };
}

/** One row of a rollout without its padding. */
function singleRow(
  { inputIds, samples, ended, Q, queryLengths, responseLengths }: Rollout,
  b: number,
): Rollout {
  return makeRollout({
    promptIds: [inputIds[b].slice(Q - queryLengths[b], Q)],
    responseIds: [inputIds[b].slice(Q, Q + responseLengths[b])],
    ended: [ended[b]],
    samples: [samples[b]],
  }, 0);
}

function largestDifference(a: readonly number[], b: readonly number[]): number {
  return Math.max(0, ...a.map((x, i) => Math.abs(x - b[i])));
}

function shown(nats: number): string {
  return `${Number(nats.toPrecision(2))} nats`;
}
