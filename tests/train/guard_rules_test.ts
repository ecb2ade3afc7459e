import { assert, assertEquals, assertMatch } from "@std/assert";
import { resolveConfig } from "../../train/config_resolve.ts";
import { likelyCause } from "../../train/guard_ratio.ts";
import {
  type GuardView,
  readActions,
  RULE_NAMES,
  type RuleName,
  RULES,
} from "../../train/guard_rules.ts";
import { type WatchedResponse, watchedResponses, windowFigures } from "../../train/guard_window.ts";
import { METRICS } from "../../train/metric_table.ts";
import type { UpdateStats } from "../../train/metrics.ts";
import { assertClose } from "../helpers/close.ts";

const CALM_UPDATE: UpdateStats = {
  policyLoss: 0.1,
  valueLoss: 0.1,
  totalLoss: 0.2,
  entropy: 4,
  approxKl: 0.001,
  policyKl: 0.001,
  clipFraction: 0.05,
  ratioMean: 1.01,
  ratioMax: 3,
  logRatioMax: 1e-6,
  valueClipFraction: 0,
  valueError: 0.1,
  valueMean: 0,
  kl: 0.05,
  gradNorm: 1,
  skipped: false,
};

const FIGURES = {
  kl: 0,
  entropy: 4.6,
  perplexity: 100,
  distinct: 0.95,
  repetition: 0.01,
  length: 18,
};

const { guardKl: _, ...config } = resolveConfig({});

/** A step of the default run at the height of its overshoot, as docs/default-run.md has it. */
const CALM: GuardView = {
  scoreProblem: undefined,
  badScores: 0,
  badUpdates: 0,
  updates: [CALM_UPDATE, { ...CALM_UPDATE, logRatioMax: 0.5 }],
  window: { ...FIGURES, kl: 0.22, entropy: 4.3, distinct: 0.92, length: 13, perplexity: 110 },
  reference: FIGURES,
  firstScores: [0, 1, 0, 1],
  scores: [1, 2, 1, 2],
  klTarget: 0.08,
  config,
};

function trips(name: RuleName, view: GuardView): boolean {
  const rule = RULES[name];
  const [figure, limit] = [rule.figure(view), rule.limit(view)];
  const isCrossed = rule.trips === "above" ? figure > limit : figure < limit;
  return isCrossed && rule.provided?.(view) !== false;
}

function tripped(view: GuardView): RuleName[] {
  return RULE_NAMES.filter((name) => trips(name, view));
}

function withWindow(figures: Partial<typeof FIGURES>): GuardView {
  return { ...CALM, window: { ...CALM.window, ...figures } };
}

function withFirst(update: Partial<UpdateStats>): GuardView {
  return { ...CALM, updates: [{ ...CALM_UPDATE, ...update }, ...CALM.updates.slice(1)] };
}

Deno.test("no rule trips on the default run where its KL is highest, nor on a single odd token", () => {
  assertEquals(tripped(CALM), []);
});

const CASES: [what: string, view: GuardView, trips: RuleName[]][] = [
  ["scores that are not finite", {
    ...CALM,
    badScores: 1,
    scoreProblem: "a score is NaN",
    updates: [],
  }, ["non_finite_reward"]],
  ["a gradient that is not", { ...withFirst({ skipped: true }), badUpdates: 1 }, [
    "non_finite_update",
  ]],
  ["a ratio that begins at 1.01", withFirst({ logRatioMax: 0.01 }), ["first_ratio"]],
  ["probabilities that rise", withFirst({ ratioMean: 11 }), ["ratio"]],
  ["probabilities that vanish", withFirst({ ratioMean: 0.09 }), ["ratio"]],
  ["a KL of ten targets", withWindow({ kl: 0.81 }), ["kl"]],
  ["half of the entropy", withWindow({ entropy: 2.2 }), ["entropy"]],
  ["the same words everywhere", withWindow({ distinct: 0.4 }), ["distinct"]],
  ["a loop in each response", withWindow({ repetition: 0.3 }), ["repetition"]],
  ["a few tokens only", withWindow({ length: 4 }), ["length"]],
  ["rising scores of strange texts", withWindow({ perplexity: 310 }), ["reward_hacking"]],
  ["strange texts that do not pay", { ...withWindow({ perplexity: 310 }), scores: [0, 1] }, []],
];

for (const [what, view, expected] of CASES) {
  Deno.test(`${expected[0] ?? "no rule"} trips on ${what}`, () => {
    assertEquals(tripped(view), expected);
    for (const name of expected) {
      const rule = RULES[name];
      const message = rule.says(`${rule.figure(view)}`, `${rule.limit(view)}`, view);
      assertMatch(message, /^[^.]+(\.\d[^.]*)*$/); // one sentence, without its full stop
    }
  });
}

Deno.test("the limit of the KL follows the target, is never below what is harmless, and can be set", () => {
  const limit = (view: Partial<GuardView>) => RULES.kl.limit({ ...CALM, ...view });
  assertClose([limit({}), limit({ klTarget: 0.2 }), limit({ klTarget: 0.01 })], [0.8, 2, 0.3], {
    atol: 1e-12,
  });
  assertEquals(limit({ config: { ...config, klController: "fixed" } }), 1);
  assertEquals(limit({ config: { ...config, guardKl: 0.5 } }), 0.5);
});

Deno.test("every rule has a metric, and does what it does by default among other things", () => {
  for (const name of RULE_NAMES) {
    const { action, actions, setting } = RULES[name];
    assert(Object.hasOwn(METRICS, `guard/${name}`), name);
    assert(actions.includes(action), name);
    assert(setting === "guardKl" || setting in config, name);
  }
});

Deno.test("readActions() reads pairs, and refuses rules that are none and actions that they cannot take", () => {
  assertEquals([...readActions("")!], []);
  assertEquals([...readActions(" kl = stop, length=warn,")!], [["kl", "stop"], ["length", "warn"]]);
  for (const text of ["kl", "kl=", "kl=skip", "KL=stop", "kl=stop=warn", "toString=stop", "="]) {
    assertEquals(readActions(text), undefined, text);
  }
});

Deno.test("windowFigures() are means over tokens, and of the texts those of text_stats", () => {
  const response = (changes: Partial<WatchedResponse>): WatchedResponse => ({
    text: "",
    tokens: 1,
    score: 1,
    kl: 0,
    entropy: 0,
    surprise: 0,
    ...changes,
  });
  const figures = windowFigures([
    response({ text: "a b a b", tokens: 4, kl: 1, entropy: 10, surprise: 12 }),
    response({ text: "a b c", tokens: 2, kl: 0.2, entropy: 8, surprise: 6 }),
  ]);
  const { kl, entropy, perplexity, distinct, repetition, length } = figures;
  assertClose(
    [kl, entropy, perplexity, distinct, repetition, length],
    // Word pairs: ab ba ab, ab bc: three of five are distinct; one of three repeats, none of two.
    [0.2, 3, Math.exp(3), 3 / 5, 1 / 6, 3],
    { atol: 1e-12 },
  );
});

Deno.test("watchedResponses() leave padding out, and responses whose figures are not finite", () => {
  const sample = (response: string) => ({ prompt: "p", response, text: response, ended: true });
  const rows = (...bad: number[]) => [[1, 2, NaN], [3, NaN, NaN], [4, 5, bad[0] ?? 6]];
  const watched = watchedResponses(
    {
      samples: [sample("x"), sample("y"), sample("z")],
      mask: [[1, 1, 0], [1, 0, 0], [1, 1, 1]],
      responseLengths: [2, 1, 3],
    },
    { klFull: rows(), entropy: rows(Infinity), refLogprobs: rows() },
    [NaN, 2, 3],
  );
  assertEquals(watched, [
    { text: "x", tokens: 2, score: null, kl: 3, entropy: 3, surprise: -3 },
    { text: "y", tokens: 1, score: 2, kl: 3, entropy: 3, surprise: -3 },
  ]);
});

Deno.test("likelyCause() tells chance, padding, temperature and rounding apart", () => {
  const calm = { repeat: 0, padding: 0, mean: 0, spread: 2e-3 };
  assertMatch(likelyCause(calm), /rounding/);
  assertMatch(likelyCause({ ...calm, padding: 0.02 }), /padding or positions.*by up to 0.02 nats$/);
  assertMatch(likelyCause({ ...calm, mean: -0.3, spread: 0.4 }), /temperature.*by -0.3 nats/);
  assertMatch(likelyCause({ repeat: 0.1, padding: 0.1, mean: 0.3, spread: 0.4 }), /dropout/);
});
