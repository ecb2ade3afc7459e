import type { SampleRecord } from "./metrics_writer.ts";
import { columnsOf, padColumns, visible, wrap } from "./shown_text.ts";

const GAP = 2;
const REWARD = "reward";

/** Widest of a table: longer lines are hard to read. */
const WIDEST = 120;
const NARROWEST = 40;

/**
 * Samples as a table of prompt, response and reward in at most so many columns; the first line has the titles.
 *
 * Texts are shown whole, in as many lines as they need, with all that cannot be seen spelled out.
 */
export function sampleTable(
  samples: readonly Pick<SampleRecord, "prompt" | "response" | "score">[],
  columns: number,
): string[] {
  const rows = samples.map(({ prompt, response, score }) => ({
    prompt: visible(prompt),
    response: visible(response),
    reward: score.toFixed(2),
  }));
  const room = Math.max(NARROWEST, Math.min(WIDEST, columns)) - REWARD.length - 2 * GAP;
  const longest = (name: "prompt" | "response") =>
    Math.max(name.length, ...rows.map((row) => columnsOf(row[name])));
  const promptWidth = Math.min(longest("prompt"), Math.floor(room / 3));
  const responseWidth = Math.min(longest("response"), room - promptWidth);
  const gap = " ".repeat(GAP);
  const line = (prompt: string, response: string, reward: string) =>
    [
      padColumns(prompt, promptWidth),
      padColumns(response, responseWidth),
      reward.padStart(REWARD.length),
    ].join(gap).trimEnd();
  return [
    line("prompt", "response", REWARD),
    ...rows.flatMap(({ prompt, response, reward }) => {
      const [prompts, responses] = [wrap(prompt, promptWidth), wrap(response, responseWidth)];
      const count = Math.max(prompts.length, responses.length);
      return Array.from(
        { length: count },
        (_, i) => line(prompts[i] ?? "", responses[i] ?? "", i === 0 ? reward : ""),
      );
    }),
  ];
}
