import type { RewardData, RewardRecord } from "./reward_data.ts";
import type { Rng } from "./rng.ts";

/** Share of the data that is held out where there is no validation file. */
const SHARE = 0.1;

/** Holds out a tenth of the records, at least one, chosen by `rng`. */
export function holdOut(data: RewardData, rng: Rng): { train: RewardData; validation: RewardData } {
  const { records } = data;
  const count = Math.max(1, Math.round(SHARE * records.length));
  const held = new Set(rng.shuffle(records).slice(0, count));
  return {
    train: { ...data, records: records.filter((record) => !held.has(record)) },
    validation: { ...data, records: records.filter((record) => held.has(record)) },
  };
}

/**
 * The records none of whose texts is also in `others`, whatever its case, spaces and punctuation: a model that
 * has learned a text by heart says nothing about new ones.
 */
export function withoutTextsOf(data: RewardData, others: RewardData): RewardData {
  const known = new Set(others.records.flatMap(wordsOf));
  const records = data.records.filter((record) => !wordsOf(record).some((text) => known.has(text)));
  return { ...data, records };
}

function wordsOf({ texts }: RewardRecord): string[] {
  return texts.map((text) => (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [text]).join(" "));
}
