import { basename } from "node:path";
import { comparison } from "./comparison.ts";
import type { TrainConfig } from "./config.ts";
import type { Evaluation } from "./evaluate.ts";
import { METRICS } from "./metric_table.ts";
import type { PpoMetrics } from "./metrics.ts";
import { fenced, formatModelCard, table } from "./model_card.ts";

/** What is known of a PPO run where its policy is saved. */
export interface PpoCardFacts {
  /** The run's settings. */
  readonly config: TrainConfig;
  /** PPO steps taken. */
  readonly steps: number;
  /** Responses sampled. */
  readonly episodes: number;
  /** The name of the reward. */
  readonly reward: string;
  /** Whether adapters are saved in place of the whole model. */
  readonly isAdapter: boolean;
  /** Of the last step, if one was taken since the trainer was made. */
  readonly metrics?: PpoMetrics | undefined;
  /** The policy's responses to prompts that it was not trained on, before and after training. */
  readonly evaluations?: { readonly before: Evaluation; readonly after: Evaluation } | undefined;
}

/** Metrics that a card shows. */
const SHOWN = [
  "objective/scores",
  "objective/kl_full",
  "objective/kl_coef",
  "ppo/policy/entropy",
  "tokens/responses_len_mean",
] as const;

/** What says where things lie on the machine of whoever trained, or how the run was shown. */
const NOT_SHOWN: readonly string[] = ["out", "json"];

/** The model card of a policy that PPO trains; see `README.md` in a checkpoint. */
export function ppoCard(facts: PpoCardFacts): string {
  const { config, steps, episodes, reward, isAdapter } = facts;
  const baseModel = config.model || "weights/review-gpt2";
  const settings = Object.entries(config).filter(([name]) => !NOT_SHOWN.includes(name));
  return formatModelCard({
    title: `${basename(baseModel.replace(/@.*$/, ""))}, trained by PPO`,
    summary:
      `${baseModel} after ${steps} steps of RLHF with PPO by KL Guard: ${episodes} responses were sampled, ` +
      `scored by the reward ${reward}, and learned from while the policy was kept near where it began.`,
    // A model from the Hub is known by its name and commit, a local one by its path.
    baseModel: config.model.match(/^(.+)@[0-9a-f]{40}$/)?.[1],
    tags: ["ppo"],
    isAdapter,
    hasValueHead: true,
    training: {
      "base model, and reference": baseModel,
      prompts: config.prompts ? basename(config.prompts) : "the built-in openings of reviews",
      reward,
      "steps, responses": `${steps}, ${episodes}`,
      "KL to the reference": `as a term of the ${config.klMode}, ${klGoal(config)}`,
      "learning rate": `${config.learningRate}, ${config.lrSchedule}`,
      seed: String(config.seed),
    },
    figures: figures(facts),
    settings: {
      ...Object.fromEntries(settings),
      prompts: basename(config.prompts),
    },
  });
}

function klGoal({ klController, klTarget, klCoef }: TrainConfig): string {
  return klController === "fixed"
    ? `weighted by ${klCoef}`
    : `held near ${klTarget} nats per token by its weight`;
}

function figures({ metrics, evaluations, steps }: PpoCardFacts): string[] {
  const shown: string[] = [];
  if (evaluations) {
    const { before, after } = evaluations;
    shown.push(
      "Responses to prompts that it was not trained on, before and after:",
      fenced("", comparison(before, after).join("\n")),
    );
  }
  if (metrics) {
    const rows = SHOWN.map((name) => {
      const [unit, meaning] = METRICS[name];
      return [name, show(metrics[name]), unit, meaning];
    });
    shown.push(`In step ${steps}:`, table(["metric", "value", "unit", "meaning"], rows));
  }
  return shown.length > 0 ? shown : ["No step was taken yet."];
}

function show(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "not finite";
}
