import type { TextCodec } from "../model/tokenizer.ts";
import type { SampleRecord } from "./metrics_writer.ts";
import type { Rollout } from "./rollout.ts";
import type { Rows } from "./rows.ts";

/**
 * A response token by token, for people: its text, its KL to the reference, its advantage.
 *
 * A character that several tokens share is shown as U+FFFD in each.
 *
 * @param b Row of the rollout.
 * @param figures.kl (B, R) nats.
 * @param figures.advantages (B, R) before whitening, where there are any.
 */
export function tokenRecords(
  tokenizer: TextCodec,
  { inputIds, mask, Q }: Rollout,
  b: number,
  { kl, advantages }: { kl: Rows; advantages?: Rows },
): NonNullable<SampleRecord["tokens"]> {
  return mask[b].flatMap((bit, r) =>
    bit === 0 ? [] : [{
      text: tokenizer.decode([inputIds[b][Q + r]]),
      kl: kl[b][r],
      ...(advantages && { advantage: advantages[b][r] }),
    }]
  );
}
