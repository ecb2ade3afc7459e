import { assert, assertEquals, assertObjectMatch, assertThrows } from "@std/assert";
import { ShapeError } from "../../kernels/runtime/errors.ts";
import { RULE_NAMES } from "../../train/guard_rules.ts";
import { assertClose } from "../helpers/close.ts";
import {
  DISTRIBUTIONS,
  isTimeMetric,
  type MetricName,
  METRICS,
  PERCENTILES,
} from "../../train/metric_table.ts";
import { ppoMetrics, type PpoStepRecord, type UpdateStats } from "../../train/metrics.ts";

const F64 = { atol: 1e-12, rtol: 1e-12 }; // sums of a few numbers near 1

function update(changes: Partial<UpdateStats> = {}): UpdateStats {
  return {
    policyLoss: .00265134,
    valueLoss: .38943001,
    totalLoss: .04159434,
    entropy: 1.25,
    approxKl: .03520833,
    policyKl: -.075,
    clipFraction: 1 / 3,
    ratioMean: 1.1,
    ratioMax: 1.5,
    logRatioMax: 0.41,
    valueClipFraction: .5,
    valueError: .65407126,
    valueMean: .275,
    kl: .04,
    gradNorm: 3,
    skipped: false,
    ...changes,
  };
}

/** The worked case of tests/train/ppo_case_test.ts; `padding` tokens of NaN follow each response. */
function record(padding = 0): PpoStepRecord {
  const R = 4 + padding;
  const pad = (rows: number[][], fill: number) =>
    rows.map((row) => [...row, ...Array(R - row.length).fill(fill)]);
  const logprobs = [[-1, -2, -.5, -1.5], [-.7, -1.2]];
  const refLogprobs = [[-1.1, -1.7, -.9, -1.5], [-.6, -1.4]];
  return {
    step: 3,
    episode: 8,
    beta: .2,
    klTarget: .3,
    learningRate: 1e-5,
    mask: pad([[1, 1, 1, 1], [1, 1]], 0),
    logprobs: pad(logprobs, NaN),
    refLogprobs: pad(refLogprobs, NaN),
    klFull: pad([[.1, .2, .3, .4], [.5, .6]], NaN),
    klPenalty: pad(logprobs.map((row, b) => row.map((x, t) => x - refLogprobs[b][t])), NaN),
    values: pad([[.1, .2, .3, .4], [-.1, .05]], NaN),
    returns: pad([[1.2931625, 1.37175, 1.365, 1.5], [-.4905, -.54]], NaN),
    advantages: pad([[1.1931625, 1.17175, 1.065, 1.1], [-.3905, -.59]], NaN),
    rewards: pad([[-.02, .06, -.08, 1.5], [.02, -.54]], NaN),
    scores: [1.5, -.5],
    adjustedScores: [1.5, -.5],
    queryLengths: [3, 5],
    responseLengths: [4, 2],
    endedCount: 1,
    epochsDone: 2,
    updates: [update()],
    timings: { generate: 1, score: .375, forward: .75, advantages: .125, update: 2, total: 4 },
    tokensGenerated: 6,
    guard: {
      events: [],
      figures: Object.fromEntries(RULE_NAMES.map((name) => [name, 1])) as Figures,
    },
  };
}

type Figures = NonNullable<PpoStepRecord["guard"]>["figures"];

Deno.test("ppoMetrics() agrees with the worked case", () => {
  const metrics = ppoMetrics(record());
  const expected: Partial<Record<MetricName, number>> = {
    "step": 3,
    "episode": 8,
    "objective/kl": .15,
    "objective/kl_per_token": .05,
    "objective/kl_full": .35,
    "objective/kl_coef": .2,
    "objective/kl_target": .3,
    "objective/entropy": 3.45,
    "objective/non_score_reward": -.03,
    "objective/rlhf_reward": .47,
    "objective/scores": .5,
    "ppo/mean_non_score_reward": -.01,
    "ppo/rewards_mean": .47,
    "ppo/mean_scores": .5,
    "ppo/std_scores": Math.SQRT2,
    "ppo/learning_rate": 1e-5,
    "ppo/epochs_done": 2,
    "ppo/skipped": 0,
    "tokens/queries_len_mean": 4,
    "tokens/queries_len_std": Math.SQRT2,
    "tokens/responses_len_mean": 3,
    "tokens/responses_dist/p50": 3,
    "env/reward_dist/p95": 1.4,
    "val/num_eos_tokens": 1,
    "val/ratio_var": 0,
    "eps": .5,
    "perf/tokens_per_second": 1.5,
    "perf/total_num_tokens": 14,
    "time/ppo/optimize_step": 2,
  };
  for (const [name, value] of Object.entries(expected)) {
    assertClose([metrics[name as keyof typeof metrics]], [value], F64, name);
  }
  assertClose(
    [
      metrics["ppo/returns/mean"],
      metrics["ppo/returns/var"],
      metrics["ppo/val/var_explained"],
      metrics["critic/vf_explained_var"],
    ],
    [.74990208, .96505275, .32224300, .26601072],
    { atol: 1e-8 }, // worked out to 8 decimals from inputs of 8 decimals
  );
});

Deno.test("ppoMetrics() puts each statistic of the updates and each time under its name", () => {
  const metrics = ppoMetrics(record());
  const { updates: [u], timings } = record();
  const expected: Partial<Record<MetricName, number>> = {
    "ppo/loss/policy": u.policyLoss,
    "ppo/loss/value": u.valueLoss,
    "ppo/loss/total": u.totalLoss,
    "ppo/policy/entropy": u.entropy,
    "ppo/policy/approxkl": u.approxKl,
    "ppo/policy/policykl": u.policyKl,
    "ppo/policy/clipfrac": u.clipFraction,
    "ppo/policy/refkl": u.kl,
    "ppo/policy/ratio": u.ratioMean,
    "ppo/policy/ratio_max": u.ratioMax,
    "ppo/val/clipfrac": u.valueClipFraction,
    "ppo/val/error": u.valueError,
    "ppo/val/vpred": u.valueMean,
    "ppo/grad_norm": u.gradNorm,
    "timing_s/generate": timings.generate,
    "timing_s/score": timings.score,
    "timing_s/forward": timings.forward,
    "timing_s/advantages": timings.advantages,
    "timing_s/update": timings.update,
    "timing_s/total": timings.total,
  };
  // All different, so that no two can be swapped.
  assertEquals(new Set(Object.values(expected)).size, Object.keys(expected).length);
  assertObjectMatch(metrics, expected);
});

Deno.test("ppoMetrics() has every name of the table and no other, all finite", () => {
  const metrics = ppoMetrics(record());
  const names = [
    ...Object.keys(METRICS),
    ...Object.keys(DISTRIBUTIONS).flatMap((name) =>
      Object.keys(PERCENTILES).map((suffix) => `${name}/${suffix}`)
    ),
  ];
  assertEquals(Object.keys(metrics).toSorted(), names.toSorted());
  assert(Object.values(metrics).every(Number.isFinite));
});

Deno.test("ppoMetrics() tells scores as given from scores as trained on", () => {
  const metrics = ppoMetrics({ ...record(), adjustedScores: [3, 1] });
  assertEquals([metrics["objective/scores"], metrics["env/reward_mean"]], [.5, .5]);
  assertClose(
    [metrics["env/reward_std"], metrics["ppo/std_scores"]],
    [Math.SQRT2, Math.SQRT2],
    F64,
  );
  assertEquals(metrics["ppo/mean_scores"], 2);
  assertClose([metrics["objective/rlhf_reward"]], [1.97], F64);
});

Deno.test("ppoMetrics() adds what the reward told: its parts and its source", () => {
  const parts = { "length": [1, 3], "best/sentiment": [2, 2] };
  const metrics = ppoMetrics({ ...record(), parts, source: 1 });
  const added = Object.entries(metrics).filter(([name]) => name.startsWith("rewards/"));
  assertEquals(Object.fromEntries(added), {
    "rewards/length/mean": 2,
    "rewards/length/std": Math.SQRT2,
    "rewards/best/sentiment/mean": 2,
    "rewards/best/sentiment/std": 0,
    "rewards/source": 1,
  });
});

Deno.test("ppoMetrics() gives an alias the value of its original", () => {
  const metrics: Record<string, number> = ppoMetrics(record());
  for (const [name, [, meaning]] of Object.entries(METRICS)) {
    const original = /^alias of (\S+)$/.exec(meaning)?.[1];
    if (original) assertEquals(metrics[name], metrics[original], name);
  }
});

Deno.test("ppoMetrics() does not change when padding grows", () => {
  assertEquals(ppoMetrics(record(5)), ppoMetrics(record(0)));
});

Deno.test("ppoMetrics() shows a NaN inside the mask", () => {
  const poisoned = record();
  poisoned.klPenalty = [[NaN, 0, 0, 0], [0, 0, 0, 0]];
  assertEquals(ppoMetrics(poisoned)["objective/kl"], NaN);
});

Deno.test("ppoMetrics() averages the updates that were made, without weights", () => {
  const metrics = ppoMetrics({
    ...record(),
    updates: [
      update({ policyLoss: 1, ratioMean: 1, ratioMax: 1.25, gradNorm: 4 }),
      update({ policyLoss: 2, ratioMean: 1.5, ratioMax: 3, gradNorm: 5 }),
      update({ policyLoss: NaN, ratioMean: 9, ratioMax: 99, gradNorm: Infinity, skipped: true }),
    ],
  });
  assertEquals(metrics["ppo/loss/policy"], 1.5);
  assertEquals(metrics["ppo/policy/ratio_max"], 3);
  assertEquals(metrics["val/ratio_var"], .125);
  assertEquals(metrics["ppo/grad_norm"], 4.5);
  assertEquals(metrics["ppo/skipped"], 1);
});

Deno.test("ppoMetrics() says NaN, not 0, where every update was skipped", () => {
  const metrics = ppoMetrics({ ...record(), updates: [update({ skipped: true })] });
  assertEquals(metrics["ppo/loss/policy"], NaN);
  assertEquals(metrics["ppo/policy/ratio_max"], NaN);
  assertEquals(metrics["val/ratio_var"], NaN);
  assertEquals(metrics["ppo/skipped"], 1);
  assertEquals(metrics["objective/scores"], .5);
});

Deno.test("ppoMetrics() is finite for a single token whose return is known", () => {
  const one = [[1]];
  const metrics = ppoMetrics({
    ...record(),
    mask: one,
    ...Object.fromEntries(
      [
        "logprobs",
        "refLogprobs",
        "klFull",
        "klPenalty",
        "values",
        "returns",
        "advantages",
        "rewards",
      ].map((key) => [key, one]),
    ),
    scores: [1],
    queryLengths: [1],
    responseLengths: [1],
  });
  assert(Object.values(metrics).every(Number.isFinite));
});

Deno.test("ppoMetrics() refuses a batch of another shape", () => {
  assertThrows(
    () => ppoMetrics({ ...record(), returns: [[1]] }),
    ShapeError,
    "Cannot compute metrics: returns must have the shape of mask (2, 4)",
  );
});

Deno.test("isTimeMetric() covers exactly what differs between two equal runs", () => {
  const run = (seconds: number) =>
    ppoMetrics({
      ...record(),
      timings: {
        generate: seconds,
        score: seconds,
        forward: seconds,
        advantages: seconds,
        update: seconds,
        total: 5 * seconds,
      },
    });
  const [a, b]: Record<string, number>[] = [run(1), run(2)];
  const names = Object.keys(a);
  const differing = names.filter((name) => a[name] !== b[name]);
  assertEquals(
    differing,
    names.filter((name) => isTimeMetric(name) && name !== "perf/total_num_tokens"),
  );
});
