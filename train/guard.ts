/**
 * Watches a run, and acts where it goes wrong: skips what is not finite, goes back to a checkpoint with a larger weight
 * of the KL when the policy collapses, and ends the run where nothing helps.
 *
 * What it watches is the table in `guard_rules.ts`. Texts are compared with the reference's own, on windows of as many
 * responses: distinct-n falls as texts get more, and a small batch alone would be noise. The window begins full, with
 * responses of the reference that are sampled once.
 *
 * @module
 */
import { RewardError } from "../reward/reward.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { TrainConfig } from "./config.ts";
import { scoreRollout } from "./experience.ts";
import { KnownCheckpoints } from "./guard_checkpoints.ts";
import { GuardError, type GuardEvent } from "./guard_event.ts";
import { type GuardMemory, parseGuardMemory } from "./guard_memory.ts";
import { likelyCause, ratioEvidence } from "./guard_ratio.ts";
import {
  type GuardAction,
  type GuardView,
  isBad,
  readActions,
  RULE_NAMES,
  type RuleName,
  RULES,
  shown,
} from "./guard_rules.ts";
import { scoresOf, watchedResponses, windowFigures } from "./guard_window.ts";
import type { PpoRun, PpoStep } from "./ppo.ts";
import { encodePrompts, sampleRollout } from "./rollout.ts";

/** What the guard found in a step. */
export interface GuardReport {
  /** What the rules saw and did, in their order. */
  events: GuardEvent[];
  /** What every rule looked at; NaN where there was nothing to measure. */
  figures: Record<RuleName, number>;
  /** Where the run has to go back to, if it has to. */
  target?: Checkpoint;
  /** Why training has to end, if it has to: a RewardError where the reward is to blame. */
  error?: GuardError | RewardError;
}

/** The weight of the KL that a rollback takes at least: what Ziegler et al. 2019 (arXiv:1909.08593) begin with. */
const LEAST_BETA = 0.2;

/** So that the reference's responses are not those that the first step will sample. */
const SAMPLING_STEP = 2 ** 31;

/** The guard of one run. */
export class Guard {
  readonly #config: TrainConfig;
  readonly #actions: ReadonlyMap<RuleName, GuardAction>;
  /** Where the run can go back to. */
  readonly checkpoints: KnownCheckpoints = new KnownCheckpoints();
  /** Undefined before the first step. */
  #memory: Omit<GuardMemory, "rollbacks" | "betaFloor"> | undefined;
  #rollbacks = 0;
  #betaFloor = 0;

  constructor(config: TrainConfig) {
    this.#config = config;
    this.#actions = readActions(config.guardActions) ?? new Map();
  }

  /**
   * Measures the reference, unless that was done: samples as many of its responses as the window holds.
   *
   * The reward is not asked: what a score was at first, the first steps show.
   *
   * @param options.moved Whether the policy is no longer the reference. While it is, it samples in its place, and no
   * memory is needed for a second model that samples.
   */
  async begin(
    run: PpoRun,
    prompts: readonly string[],
    { moved }: { moved: boolean },
  ): Promise<void> {
    if (this.#memory) return;
    const { guardWindow, batchSize } = this.#config;
    const policy = moved ? run.reference : run.policy;
    encodePrompts(policy, prompts, this.#config.maxLength); // refuses those that are none
    const window: GuardMemory["window"] = [];
    for (let at = 0; at < guardWindow; at += batchSize) {
      const size = Math.min(batchSize, guardWindow - at);
      const batch = Array.from({ length: size }, (_, i) => prompts[(at + i) % prompts.length]);
      const step = SAMPLING_STEP + at;
      const rollout = await sampleRollout(policy, batch, { ...this.#config, step });
      const experience = await scoreRollout({ ...run, policy }, rollout, this.#config);
      window.push(...watchedResponses(rollout, experience));
    }
    this.#memory = {
      window,
      reference: windowFigures(window),
      firstScores: [],
      badScores: 0,
      badUpdates: 0,
      tripped: [],
    };
  }

  /**
   * Looks at a step that was taken.
   *
   * @param number Of the step, counted from 1.
   */
  async inspect(run: PpoRun, step: PpoStep, number: number): Promise<GuardReport> {
    const memory = this.#memory!;
    const view = this.#look(run, step);
    const events: GuardEvent[] = [];
    const figures = {} as GuardReport["figures"];
    const tripped: RuleName[] = [];
    for (const name of RULE_NAMES) {
      const rule = RULES[name];
      const [value, threshold] = [rule.figure(view), rule.limit(view)];
      figures[name] = value;
      const isCrossed = rule.trips === "above" ? value > threshold : value < threshold;
      if (!isCrossed || rule.provided?.(view) === false) continue;
      tripped.push(name);
      const action = this.#actionOf(name, value);
      if (action === "warn" && memory.tripped.includes(name)) continue;
      const message = rule.says(shown(value), shown(threshold), view) +
        (name === "first_ratio" ? `; ${await causeOf(run, step)}` : "");
      events.push({ step: number, rule: name, action, message, value, threshold });
    }
    memory.tripped = tripped;
    const report = { events, figures, ...await this.#answer(events) };
    this.holdBeta(run);
    return report;
  }

  /** Takes in what a step did. */
  #look(run: PpoRun, { rollout, updates, scoreProblem, ...step }: PpoStep): GuardView {
    const memory = this.#memory!;
    if (scoreProblem !== undefined) {
      memory.badScores++;
    } else {
      memory.badScores = 0;
      memory.badUpdates = updates.some(isBad) ? memory.badUpdates + 1 : 0;
    }
    const { guardWindow } = this.#config;
    const newest = watchedResponses(rollout, step, step.scores);
    memory.window = [...memory.window, ...newest].slice(-guardWindow);
    memory.firstScores = [...memory.firstScores, ...scoresOf(newest)].slice(0, guardWindow);
    return {
      scoreProblem,
      badScores: memory.badScores,
      badUpdates: scoreProblem === undefined ? memory.badUpdates : NaN,
      updates,
      window: windowFigures(memory.window),
      reference: memory.reference,
      firstScores: memory.firstScores,
      scores: scoresOf(memory.window),
      klTarget: run.controller.target,
      config: this.#config,
    };
  }

  #actionOf(name: RuleName, value: number): GuardAction {
    const action = this.#actions.get(name) ?? RULES[name].action;
    return action === "skip" && value > this.#config.guardSkips ? "stop" : action;
  }

  /** Decides what follows from the events of a step, and adds it to their messages. */
  async #answer(events: GuardEvent[]): Promise<Pick<GuardReport, "target" | "error">> {
    const back = events.filter(({ action }) => action === "rollback");
    const isEnding = events.some(({ action }) => action === "stop");
    if (back.length > 0 && !isEnding) {
      const isSpent = this.#rollbacks >= this.#config.guardRollbacks;
      const target = isSpent ? undefined : await this.checkpoints.next();
      if (target) {
        this.#rollbacks++;
        this.#raiseFloor(target);
        for (const event of back) {
          event.backTo = target.state.step;
          event.message += `; the run goes back to step ${event.backTo}, with a KL weight of at ` +
            `least ${shown(this.#betaFloor)}`;
        }
        return { target };
      }
      for (const event of back) {
        event.action = "stop";
        event.message += isSpent
          ? `; the run went back ${this.#rollbacks} times already`
          : "; there is no checkpoint to go back to, which saveEvery makes";
      }
    }
    const last = events.find(({ action }) => action === "stop");
    return last ? { error: this.#errorOf(last) } : {};
  }

  #raiseFloor({ state }: Checkpoint): void {
    const { guardKlFactor, klMax } = this.#config;
    const before = Math.max(state.controller.beta, this.#betaFloor);
    const raised = Math.max(guardKlFactor * before, LEAST_BETA);
    this.#betaFloor = Math.max(before, Math.min(raised, klMax));
  }

  #errorOf(event: GuardEvent): GuardError | RewardError {
    const { advice, setting, actions } = RULES[event.rule];
    const allow = actions.includes("warn")
      ? `, or allow it with ${setting} or guardActions ${event.rule}=warn`
      : "";
    const message = `Cannot train on after step ${event.step}: ${event.message}; ${advice}${allow}`;
    if (event.rule === "non_finite_reward") return new RewardError(message); // the policy is as good as before
    const { newest } = this.checkpoints;
    return new GuardError(
      event,
      newest ? `${message}; the newest checkpoint is ${newest}` : message,
    );
  }

  /** Lifts the weight of the KL to what a rollback has set as the least. */
  holdBeta({ controller }: Pick<PpoRun, "controller">): void {
    if (controller.beta < this.#betaFloor) controller.steer({ beta: this.#betaFloor });
  }

  /** What a checkpoint keeps; undefined before the first step. */
  state(): GuardMemory | undefined {
    return this.#memory &&
      { ...this.#memory, rollbacks: this.#rollbacks, betaFloor: this.#betaFloor };
  }

  /** Goes on from what a checkpoint kept, if it kept any; rollbacks since then are not forgotten. */
  restore(kept: unknown): void {
    if (kept === undefined) {
      this.#memory = undefined;
      return;
    }
    const { rollbacks, betaFloor, ...memory } = parseGuardMemory(kept);
    this.#memory = memory;
    this.#rollbacks = Math.max(this.#rollbacks, rollbacks);
    this.#betaFloor = Math.max(this.#betaFloor, betaFloor);
  }
}

/** Which of the known causes a first ratio that is not 1 looks like. */
async function causeOf(run: PpoRun, { rollout, updates }: PpoStep): Promise<string> {
  return likelyCause(await ratioEvidence(run, rollout, updates[0]));
}
