import type { RewardExample } from "../../train/reward_data.ts";
import { Rng } from "../../train/rng.ts";

/** A word that makes a text good, one that makes it bad, and those that say nothing. */
const [GOOD, BAD, NEUTRAL] = [100, 101, 200];

/** Token ids of a text of 1 to 9 neutral words, the telling one among them, between 2 and 3. */
function textOf(telling: number, rng: Rng): number[] {
  const words = Array.from({ length: 1 + rng.int(9) }, () => NEUTRAL + rng.int(50));
  words[rng.int(words.length)] = telling;
  return [2, ...words, 3];
}

/** Texts that a bag of words can tell apart: label 1 where the good word is, 0 where the bad one is. */
export function toyLabels(count: number, seed: number): RewardExample[] {
  const rng = new Rng(seed);
  return Array.from({ length: count }, (_, i) => ({
    rows: [textOf(i % 2 === 1 ? GOOD : BAD, rng)],
    label: i % 2,
    weight: 1,
    source: i % 3 === 0 ? "a" : "b",
  }));
}

/** Pairs of such texts, the good one first. */
export function toyPairs(count: number, seed: number): RewardExample[] {
  const rng = new Rng(seed);
  return Array.from({ length: count }, () => ({
    rows: [textOf(GOOD, rng), textOf(BAD, rng)],
    label: 0,
    weight: 1,
    source: "",
  }));
}
