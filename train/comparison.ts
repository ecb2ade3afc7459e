import { type Evaluation, riseInStandardErrors } from "./evaluate.ts";

/** The table of two evaluations, and a few of their texts side by side. */
export function comparison(before: Evaluation, after: Evaluation, { texts = 6 } = {}): string[] {
  const row = (name: string, read: (evaluation: Evaluation) => string) =>
    [name.padEnd(26), read(before).padStart(10), read(after).padStart(10)].join("  ");
  const lines = [
    ["".padEnd(26), "before".padStart(10), "after".padStart(10)].join("  "),
    row("mean reward", ({ meanScore }) => meanScore.toFixed(3)),
    row("standard error", ({ stdScore, samples }) =>
      (stdScore / Math.sqrt(samples.length)).toFixed(3)),
    row("KL to reference, nats/token", ({ kl }) => kl.toFixed(4)),
    row("distinct-2", ({ distinct2 }) => distinct2.toFixed(3)),
    row("tokens per response", ({ meanLength }) => meanLength.toFixed(1)),
    "",
    `The mean reward rose by ${riseInStandardErrors(before, after).toFixed(1)} standard errors of the ` +
    `difference, over ${after.samples.length} responses to held-out prompts.`,
  ];
  for (const [index, { prompt, response, score }] of after.samples.slice(0, texts).entries()) {
    const old = before.samples[index];
    lines.push(
      "",
      `${prompt} ...`,
      `  before ${score6(old.score)} ${oneLine(old.response)}`,
      `  after  ${score6(score)} ${oneLine(response)}`,
    );
  }
  return lines;
}

function score6(score: number): string {
  return score.toFixed(2).padStart(6);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
