/** What the guard watches: one table of rules, each with its threshold, what it does, and what it says. */

import type { SettingName, TrainConfig } from "./config.ts";
import type { WindowFigures } from "./guard_window.ts";
import type { UpdateStats } from "./metrics.ts";
import { mean, standardDeviation } from "./stats.ts";

/**
 * What follows when a rule trips:
 * - `warn`: it is reported, once until it has passed;
 * - `skip`: nothing is updated by the step, or by the part of it that is not finite;
 * - `stop`: training ends with a {@linkcode GuardError};
 * - `rollback`: training goes back to a checkpoint, with a larger weight of the KL.
 */
export type GuardAction = "warn" | "skip" | "stop" | "rollback";

/** What rules look at after a step. */
export interface GuardView {
  /** What is wrong with the scores of this step, if anything. */
  scoreProblem: string | undefined;
  /** Steps in a row in which something was wrong with the scores. */
  badScores: number;
  /** Steps in a row in which an optimizer step was skipped, since loss or gradient was not finite. */
  badUpdates: number;
  /** Of this step; none where the scores were not finite. */
  updates: readonly UpdateStats[];
  /** The newest responses. */
  window: WindowFigures;
  /** As many responses of the reference. */
  reference: WindowFigures;
  /** Scores of as many responses at the beginning, and of the newest. */
  firstScores: readonly number[];
  /** Scores of the newest responses. */
  scores: readonly number[];
  /** KL that the controller holds, nats per token. */
  klTarget: number;
  /** The run's settings. */
  config: TrainConfig;
}

/** A rule: a figure, a limit that it must not cross, and what follows where it does. */
export interface GuardRule {
  /** What it does by default, and what it may be told to do. */
  action: GuardAction;
  /** What it may be told to do. */
  actions: readonly GuardAction[];
  /** The setting of the limit. */
  setting: SettingName;
  /** NaN where there is nothing to measure: the rule then does not trip. */
  figure(view: GuardView): number;
  /** The limit of the figure, in its unit. */
  limit(view: GuardView): number;
  /** On which side of the limit it trips. */
  trips: "above" | "below";
  /** What else must be so. */
  provided?(view: GuardView): boolean;
  /** What was seen, as the beginning of a sentence. */
  says(figure: string, limit: string, view: GuardView): string;
  /** What to do when training ends by it. */
  advice: string;
}

const WARN_OR_ACT: readonly GuardAction[] = ["warn", "stop", "rollback"];
const CALM = "lower learningRate, or raise klCoef";

/** Names of the rules, in the order in which they are looked at. */
export const RULE_NAMES = [
  "non_finite_reward",
  "non_finite_update",
  "first_ratio",
  "ratio",
  "kl",
  "entropy",
  "distinct",
  "repetition",
  "length",
  "reward_hacking",
] as const;

/** Name of a rule, as settings, events and the metrics `guard/<name>` use it. */
export type RuleName = typeof RULE_NAMES[number];

/** Every rule. */
export const RULES: Readonly<Record<RuleName, GuardRule>> = {
  non_finite_reward: {
    action: "skip",
    actions: ["skip", "stop"],
    setting: "guardSkips",
    figure: ({ badScores }) => badScores,
    limit: () => 0,
    trips: "above",
    says: (figure, _, { scoreProblem, config }) =>
      `${scoreProblem} (${figure} of at most ${config.guardSkips} such steps in a row)`,
    advice: "repair the reward",
  },
  non_finite_update: {
    action: "skip",
    actions: ["skip", "stop", "rollback"],
    setting: "guardSkips",
    figure: ({ badUpdates }) => badUpdates,
    limit: () => 0,
    trips: "above",
    says: (figure, _, { updates, config }) =>
      `the loss or the gradient of ${
        updates.filter(isBad).length
      } of ${updates.length} optimizer steps was not ` +
      `finite (${figure} of at most ${config.guardSkips} such steps in a row)`,
    advice: "lower learningRate, or keep the scores smaller with rewardScale or rewardClip",
  },
  first_ratio: {
    action: "warn",
    actions: ["warn", "stop"],
    setting: "guardFirstRatio",
    figure: ({ updates: [first] }) => first && !first.skipped ? first.logRatioMax : NaN,
    limit: ({ config }) => config.guardFirstRatio,
    trips: "above",
    says: (figure, limit) =>
      `before the policy has moved, its log-probabilities differ from those it sampled with by up to ${figure} nats, ` +
      `the limit is ${limit}`,
    advice: "report it with the model and the adapter's name",
  },
  ratio: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardRatio",
    figure: ({ updates }) =>
      highest(
        updates.filter(({ skipped }) => !skipped).map(({ ratioMean }) =>
          Math.max(ratioMean, 1 / ratioMean)
        ),
      ),
    limit: ({ config }) => config.guardRatio,
    trips: "above",
    says: (figure, limit) =>
      `an optimizer step found the mean ratio of new to old probabilities a factor ${figure} from 1, the limit is ${limit}`,
    advice: "lower learningRate, or take fewer epochs",
  },
  kl: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardKl",
    figure: ({ window }) => window.kl,
    limit: ({ config, klTarget }) =>
      config.guardKl ??
        (config.klController === "fixed" ? FREE_KL : Math.max(TARGETS * klTarget, HARMLESS_KL)),
    trips: "above",
    says: (figure, limit) =>
      `the KL to the reference is ${figure} nats per token, the limit is ${limit}`,
    advice: CALM,
  },
  entropy: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardEntropy",
    figure: ({ window }) => window.entropy,
    limit: ({ config, reference }) => config.guardEntropy * reference.entropy,
    trips: "below",
    says: (figure, limit, { reference }) =>
      `the entropy is ${figure} nats per token, the reference's is ${
        shown(reference.entropy)
      }, the limit is ${limit}`,
    advice: `${CALM}, or set entropyCoef`,
  },
  distinct: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardDistinct",
    figure: ({ window }) => window.distinct,
    limit: ({ config, reference }) => config.guardDistinct * reference.distinct,
    trips: "below",
    says: (figure, limit, { reference }) =>
      `responses have become alike: ${figure} of their word pairs are distinct, of the reference's ` +
      `${shown(reference.distinct)}, the limit is ${limit}`,
    advice: CALM,
  },
  repetition: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardRepetition",
    figure: ({ window }) => window.repetition,
    limit: ({ config, reference }) => reference.repetition + config.guardRepetition,
    trips: "above",
    says: (figure, limit, { reference }) =>
      `responses repeat themselves: ${figure} of their word pairs came before in the same response, of the ` +
      `reference's ${shown(reference.repetition)}, the limit is ${limit}`,
    advice: CALM,
  },
  length: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardLength",
    figure: ({ window }) => window.length,
    limit: ({ config, reference }) => config.guardLength * reference.length,
    trips: "below",
    says: (figure, limit, { reference }) =>
      `responses have ${figure} tokens, the reference's ${
        shown(reference.length)
      }, the limit is ${limit}`,
    advice: `${CALM}, or set minNewTokens`,
  },
  reward_hacking: {
    action: "rollback",
    actions: WARN_OR_ACT,
    setting: "guardPerplexity",
    figure: ({ window, reference }) => window.perplexity / reference.perplexity,
    limit: ({ config }) => config.guardPerplexity,
    trips: "above",
    provided: ({ firstScores, scores }) =>
      mean(scores) - mean(firstScores) >
        RISE * Math.hypot(standardError(scores), standardError(firstScores)),
    says: (figure, limit, { firstScores, scores }) =>
      `the score has risen from ${shown(mean(firstScores))} to ${
        shown(mean(scores))
      } by texts that the reference finds ` +
      `${figure} times as perplexing as its own, the limit is ${limit}`,
    advice: `${CALM}, or change the reward so that such texts do not pay`,
  },
};

/** The default limit of the KL, in targets: far above the overshoot of a healthy start, which is up to five. */
const TARGETS = 10;

/** What it is at least, in nats per token: runs that aimed lower came back from there with their language whole. */
const HARMLESS_KL = 0.3;

/** The limit where no controller holds a target, in nats per token. */
const FREE_KL = 1;

/** Standard errors that a score must have risen to count as risen. */
const RISE = 2;

/** Whether the update's loss or gradient was not finite. */
export function isBad({ skipped, totalLoss }: UpdateStats): boolean {
  return skipped || !Number.isFinite(totalLoss);
}

/** A figure with three digits. */
export function shown(figure: number): string {
  return String(Number(figure.toPrecision(3)));
}

/**
 * Reads `rule=action,rule=action`; undefined where there is no such rule, or it cannot do that.
 */
export function readActions(text: string): Map<RuleName, GuardAction> | undefined {
  const actions = new Map<RuleName, GuardAction>();
  for (const pair of text.split(",").map((pair) => pair.trim()).filter((pair) => pair !== "")) {
    const [name, action, ...rest] = pair.split("=").map((word) => word.trim());
    if (!Object.hasOwn(RULES, name) || rest.length > 0) return undefined;
    const rule = RULES[name as RuleName];
    if (!rule.actions.includes(action as GuardAction)) return undefined;
    actions.set(name as RuleName, action as GuardAction);
  }
  return actions;
}

function standardError(xs: readonly number[]): number {
  return standardDeviation(xs) / Math.sqrt(Math.max(1, xs.length));
}

function highest(xs: readonly number[]): number {
  return xs.length === 0 ? NaN : Math.max(...xs);
}
