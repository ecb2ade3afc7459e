/**
 * Curves of runs that were made to fail, with the guard and without it, from the folders that `guard_runs.ts` wrote.
 *
 *     deno run --allow-read --allow-write tests/bench/guard_plot.ts runs/guard docs/guard.svg
 */
import { readRun } from "../../train/run_reader.ts";
import { figureSvg, type Panel } from "./line_chart.ts";

const FAILURES = { "collapse": "no KL, rate 1e-3", "one-word": 'paid for "good"' };
const METRICS = {
  "objective/scores": "reward",
  "objective/kl_full": "KL to the reference, nats/token",
  "guard/distinct": "share of distinct word pairs",
};

const [folder = "runs/guard", out = "docs/guard.svg"] = Deno.args;
const panels: Panel[] = [];
for (const [metric, what] of Object.entries(METRICS)) {
  for (const [failure, name] of Object.entries(FAILURES)) {
    const lines = [];
    for (const [kind, label] of [["guarded", "with the guard"], ["alone", "without"]]) {
      const { metrics } = await readRun(`${folder}/${failure}-${kind}`);
      const points = metrics.map((line) => ({ x: Number(line.step), y: Number(line[metric]) }));
      lines.push({ label, points: points.filter(({ y }) => Number.isFinite(y)) });
    }
    panels.push({ title: `${name}: ${what}`, xLabel: "step", lines });
  }
}
const description =
  "Two runs of 40 steps that are made to fail: one without KL and with ten times the learning rate, one with a reward " +
  "that pays for one word. Without the guard the reward rises while the KL explodes and the texts become alike; with it " +
  "the run goes back to a checkpoint, and KL and texts stay near the reference's.";
await Deno.writeTextFile(
  out,
  figureSvg({ title: "Runs with and without the guard", description, panels }),
);
