/** What the plots of docs/ppo.md show. */

import type { Figure, Line, Panel } from "./line_chart.ts";

/** A step of a run, or a probe of it. */
export type Row = Record<string, number>;
/** Rows by the name of their file. */
type Data = ReadonlyMap<string, readonly Row[]>;

/** The metrics of a run that plots are drawn from. */
export const TAKEN: readonly string[] = [
  "step",
  "ppo/mean_scores",
  "objective/kl_full",
  "objective/kl_coef",
  "ppo/policy/entropy",
  "tokens/responses_len_mean",
  "ppo/loss/policy",
  "ppo/loss/value",
  "ppo/policy/clipfrac",
  "ppo/policy/approxkl",
  "ppo/policy/ratio",
  "ppo/policy/ratio_max",
  "ppo/grad_norm",
  "ppo/returns/mean",
  "ppo/val/mean",
  "critic/vf_explained_var",
  "guard/distinct",
  "guard/reward_hacking",
];

/** Weights of the KL in the sweep, and how it names its runs. */
const BETAS = [0, 0.05, 0.25, 1, 4, 16];
const sweepRun = (beta: number) => `sweep-${beta}`;

/** The figures by the names of their files. */
export const FIGURES: Record<string, (data: Data) => Figure> = {
  run: (data) => ({
    title: "The default run: reward, KL, beta and entropy over 75 steps",
    description:
      "The mean score rises from 0.6 to about 1; the KL overshoots its target of 0.12 up to 0.42 " +
      "near step 19 and then rests near 0.085, inside the band; beta falls, rises to 0.59, and falls again.",
    panels: [
      panel("reward: mean score of the 64 responses of a step", [
        line(data, "explained", "ppo/mean_scores", "step"),
        smoothed(line(data, "explained", "ppo/mean_scores", "mean of ten steps")),
      ]),
      {
        ...panel("exact KL to the reference, nats per token", [
          line(data, "explained", "objective/kl_full", "KL"),
        ]),
        levels: [{ label: "target x 1.5", y: 0.18 }, { label: "target / 1.5", y: 0.08 }],
      },
      panel("beta, the weight of the KL", [line(data, "explained", "objective/kl_coef", "beta")]),
      panel("entropy, nats per token", [
        line(data, "explained", "ppo/policy/entropy", "entropy"),
      ]),
    ],
  }),
  update: (data) => ({
    title: "The default run: what its updates did",
    description:
      "The clip fraction falls from 0.14 to 0, the approximate KL of an update from 0.01 to 1e-6 as " +
      "the learning rate falls to 0; the gradient norm stays between 1 and 2; returns and values agree in the mean.",
    panels: [
      panel("policy loss", [line(data, "explained", "ppo/loss/policy", "policy loss")]),
      panel("value loss", [line(data, "explained", "ppo/loss/value", "value loss")]),
      panel("clip fraction: share of tokens where clipping bit", [
        line(data, "explained", "ppo/policy/clipfrac", "clip fraction"),
      ]),
      {
        ...panel("approximate KL of an update, nats per token", [
          line(data, "explained", "ppo/policy/approxkl", "approx KL"),
        ]),
        yLog: true,
      },
      panel("ratio of new to old probability", [
        line(data, "explained", "ppo/policy/ratio", "mean"),
        line(data, "explained", "ppo/policy/ratio_max", "largest of any token"),
      ]),
      panel("gradient norm, before it is clipped to 1", [
        line(data, "explained", "ppo/grad_norm", "gradient norm"),
      ]),
      panel("what the value head expects, and what came", [
        line(data, "explained", "ppo/returns/mean", "mean return"),
        line(data, "explained", "ppo/val/mean", "mean value"),
      ]),
      panel("explained variance of the returns", [
        line(data, "explained", "critic/vf_explained_var", "explained variance"),
      ]),
    ],
  }),
  collapse: (data) => ({
    title: "Policy collapse: no KL and ten times the learning rate, with the guard and without",
    description:
      "Without the guard the reward rises to 9 while the entropy falls from 4.1 to 1.1 nats and distinct-2 " +
      "from 0.95 to 0.13; with the guard, which goes back to a checkpoint twice, both stay.",
    panels: failurePanels(data, "collapse", [
      ["reward: score of the word list, from -10 to 10", "ppo/mean_scores"],
      ["exact KL to the reference, nats per token", "objective/kl_full"],
      ["entropy, nats per token", "ppo/policy/entropy"],
      ["distinct-2 of the newest 32 responses", "guard/distinct"],
    ]),
  }),
  hacking: (data) => ({
    title: 'Reward hacking: a reward that pays for the word "good", with the guard and without',
    description:
      "Without the guard the reward rises to its limit of 16 and the reference finds the texts up to 28 " +
      "times as perplexing as its own; with the guard, which goes back to a checkpoint twice, neither happens.",
    panels: [
      ...failurePanels(data, "hacking", [
        ['reward: occurrences of "good" in 16 tokens', "ppo/mean_scores"],
        ["exact KL to the reference, nats per token", "objective/kl_full"],
      ]),
      ...failurePanels(data, "hacking", [
        ["the reference's perplexity, in that of its own texts", "guard/reward_hacking"],
      ]).map((panel) => ({ ...panel, yLog: true })),
      ...failurePanels(data, "hacking", [
        ["entropy, nats per token", "ppo/policy/entropy"],
      ]),
    ],
  }),
  forgetting: (data) => ({
    title: "Forgetting: perplexity of the reference's own texts for the policy",
    description:
      "At the default learning rate it rises from 64 to 128 with beta 0.05, to 102 without a KL, to 77 with " +
      "beta 0.25, and hardly with beta 4. At five times that rate it rises to 32,800 without a KL, to 154 with beta 0.25.",
    panels: [
      panel("learning rate 2e-4, falling to 0", [
        probes(data, sweepRun(0), "forgotten", "beta 0"),
        probes(data, sweepRun(0.05), "forgotten", "0.05"),
        probes(data, sweepRun(0.25), "forgotten", "0.25"),
        probes(data, sweepRun(4), "forgotten", "4"),
      ]),
      {
        ...panel("learning rate 1e-3, constant", [
          probes(data, "fast-0", "forgotten", "beta 0"),
          probes(data, "fast-0.25", "forgotten", "beta 0.25"),
        ]),
        yLog: true,
      },
    ],
  }),
  sweep: (data) => ({
    title: "What a KL costs and buys: six policies after 60 steps, by their KL to the reference",
    description:
      "From left to right beta 16, 4, 1, 0.25, 0 and 0.05. With the KL rise the reward, from 0.65 to 1.64, and the " +
      "perplexity of the reference's texts, from 65 to 128; responses shorten from 18 tokens to 7, and entropy and " +
      "distinct-2 fall at the end.",
    panels: [
      byKl(data, "mean score of 240 responses", { reward: "reward", judge: "judge" }),
      byKl(data, "distinct-2", { distinct2: "distinct-2" }),
      byKl(data, "perplexity of its texts for the reference", { perplexity: "perplexity" }),
      byKl(data, "perplexity of the reference's texts for it", { forgotten: "perplexity" }),
      byKl(data, "entropy, nats per token", { entropy: "entropy" }),
      byKl(data, "tokens per response", { tokens: "tokens" }),
    ],
  }),
};

function panel(title: string, lines: Line[]): Panel {
  return { title, lines, xLabel: "step" };
}

/** A column of a run over its steps; what was not measured is left out. */
function line(data: Data, run: string, name: string, label: string): Line {
  const rows = data.get(run) ?? [];
  const measured = rows.filter((row) => Number.isFinite(row[name]));
  return { label, points: measured.map((row) => ({ x: row.step, y: row[name] })) };
}

function probes(data: Data, run: string, name: string, label: string): Line {
  return { ...line(data, run, name, label), dots: true };
}

function smoothed({ label, points }: Line, window = 10): Line {
  const means = points.slice(window - 1).map(({ x }, i) => ({
    x,
    y: points.slice(i, i + window).reduce((sum, { y }) => sum + y, 0) / window,
  }));
  return { label, points: means };
}

/** A panel for each metric of a run that was made to fail, left alone and guarded. */
function failurePanels(
  data: Data,
  name: string,
  metrics: readonly (readonly [title: string, metric: string])[],
): Panel[] {
  return metrics.map(([title, metric]) =>
    panel(title, [
      line(data, `${name}-alone`, metric, "without the guard"),
      line(data, `${name}-guarded`, metric, "with it"),
    ])
  );
}

/** Measures of the sweep's policies at their end, over the KL that they ended with. */
function byKl(data: Data, title: string, measures: Record<string, string>): Panel {
  const ends = BETAS.map((beta) => data.get(sweepRun(beta))?.at(-1)).filter((row) =>
    row !== undefined
  );
  const sorted = ends.toSorted((a, b) => a.kl - b.kl);
  return {
    title,
    xLabel: "KL to the reference, nats per token",
    xLog: true,
    lines: Object.entries(measures).map(([name, label]) => ({
      label,
      dots: true,
      points: sorted.map((row) => ({ x: row.kl, y: row[name] })),
    })),
  };
}
