import { fileURLToPath } from "node:url";
import { Gpu } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import { HeuristicReward } from "../reward/heuristic.ts";
import type { Reward } from "../reward/reward.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import type { TrainConfig } from "./config.ts";
import { resolveConfig } from "./config_resolve.ts";
import { evaluatePolicy, type Evaluation } from "./evaluate.ts";
import { KlDivergenceController } from "./kl_controller.ts";
import { ppoMetrics } from "./metrics.ts";
import { findModel } from "./model_source.ts";
import { AdamW } from "./optimizer.ts";
import { type PpoRun, ppoStep } from "./ppo.ts";
import { PromptBatches, TRAINING_PROMPTS } from "./prompts.ts";
import { Rng } from "./rng.ts";
import { maskedRowSums } from "./rows.ts";
import { encodePrompts } from "./rollout.ts";
import { learningRateAt } from "./schedule.ts";
import { ScoreNormaliser } from "./score_normaliser.ts";

/** Folder of the small policy that comes with the package. */
export const EMBEDDED_POLICY: string = fileURLToPath(
  new URL("../weights/review-gpt2", import.meta.url),
);

/** What {@linkcode PpoTrainer.create} takes: any settings, and values in place of names. */
export interface PpoTrainerOptions extends Partial<Omit<TrainConfig, "reward">> {
  /** A reward, or the name of one (default `heuristic`). */
  reward?: Reward | TrainConfig["reward"];
  /** Where to train (default: the runtime's adapter, which the trainer then closes itself). */
  gpu?: Gpu;
  /** Where a model that is named by its id on the Hub comes from, and where it is kept. */
  hub?: HubOptions;
}

/** How {@linkcode PpoTrainer.train} goes. */
export interface TrainOptions {
  /** PPO steps (default: the setting). */
  steps?: number;
  /** Training prompts, taken in shuffled rounds (default: the built-in set). */
  prompts?: readonly string[];
  callbacks?: readonly TrainerCallback[];
}

/**
 * RLHF with PPO on one policy: loads it, trains it against a reward near its reference, evaluates it, saves it.
 *
 * ```ts ignore
 * using trainer = await PpoTrainer.create({ steps: 50, reward: myReward });
 * await trainer.train();
 * await trainer.evaluate(["The movie was"]);
 * ```
 */
export class PpoTrainer implements Disposable {
  /** Steps taken. */
  steps = 0;
  /** Responses sampled. */
  episodes = 0;
  #callbacks: readonly TrainerCallback[] = [];
  /** How far training has come in its prompts, so that a second `train` goes on where the first ended. */
  #batches: { prompts: readonly string[]; sequence: PromptBatches } | undefined;
  /** The step at which the learning rate's schedule ends. */
  #scheduledSteps: number;
  readonly #resources: DisposableStack;

  private constructor(readonly run: PpoRun, readonly gpu: Gpu, resources: DisposableStack) {
    this.#resources = resources;
    this.#scheduledSteps = run.config.steps;
  }

  /**
   * Loads policy and reference, and makes the rest from settings.
   *
   * @throws {ConfigError} If a setting does not exist or is impossible.
   * @throws {HubError} If the model is on the Hub and cannot be had; see `resolveModel`.
   * @throws {ModelFolderError} If the model cannot be loaded; see `loadCausalLM`.
   * @throws {GpuUnavailableError} If there is no adapter.
   */
  static async create(options: PpoTrainerOptions = {}): Promise<PpoTrainer> {
    const { gpu: given, hub = {}, reward: wanted = "heuristic", ...settings } = options;
    const named = typeof wanted === "string" ? { reward: wanted } : {};
    const config = resolveConfig({ flags: { ...settings, ...named } });
    const folder = config.model ? (await findModel(config.model, hub)).folder : EMBEDDED_POLICY;
    using resources = new DisposableStack(); // freed here if anything below throws
    const gpu = given ?? resources.use(await Gpu.open());
    const policy = resources.use(
      await loadCausalLM(gpu, folder, { train: true, valueHead: true }),
    );
    const reference = resources.use(await loadCausalLM(gpu, folder));
    const optimizer = resources.use(
      new AdamW(gpu, policy.layout, { ...config, epsilon: config.adamEpsilon }),
    );
    const run = {
      policy,
      reference,
      reward: typeof wanted === "string" ? new HeuristicReward() : wanted,
      scoreNormaliser: new ScoreNormaliser(),
      optimizer,
      controller: new KlDivergenceController({
        kind: config.klController,
        initialCoef: config.klCoef,
        target: config.klTarget,
        factor: config.klFactor,
        horizon: config.klHorizon,
        min: config.klMin,
        max: config.klMax,
      }),
      config,
      rng: new Rng(config.seed, "minibatches"),
    };
    return new PpoTrainer(run, gpu, resources.move());
  }

  /** The settings, resolved. */
  get config(): TrainConfig {
    return this.run.config;
  }

  /** The model that is trained. */
  get policy(): CausalLM {
    return this.run.policy;
  }

  /**
   * Checks that every prompt leaves room for a response, as `train` does before its first step.
   *
   * @throws {TokenRowsError} If one is empty or too long.
   */
  checkPrompts(prompts: readonly string[]): void {
    encodePrompts(this.policy, prompts, this.config.maxLength);
  }

  /**
   * One PPO step on a batch of prompts, for loops of your own.
   *
   * A learning rate that falls reaches 0 at the setting `steps`, or at the end of the last {@linkcode train}.
   */
  async trainStep(prompts: readonly string[]): Promise<PpoStats> {
    const { config } = this;
    const learningRate = learningRateAt(this.steps, {
      kind: config.lrSchedule,
      learningRate: config.learningRate,
      totalSteps: Math.max(this.#scheduledSteps, config.warmupSteps + 1),
      warmupSteps: config.warmupSteps,
    });
    const { rollout, ...record } = await ppoStep(this.run, prompts, {
      step: this.steps,
      learningRate,
    });
    this.steps++;
    this.episodes += prompts.length;
    const kl = maskedRowSums(record.klPenalty, record.mask);
    return {
      metrics: ppoMetrics({ ...record, step: this.steps, episode: this.episodes }),
      samples: rollout.samples.map(({ prompt, response }, b) => ({
        step: this.steps,
        prompt,
        response,
        score: record.scores[b],
        kl: kl[b],
      })),
    };
  }

  /**
   * Trains on shuffled rounds of prompts; `callbacks` hear of later evaluations and checkpoints too.
   *
   * @throws {TokenRowsError} If a prompt is empty or too long, before the first step.
   */
  async train(
    { steps, prompts = TRAINING_PROMPTS, callbacks = [] }: TrainOptions = {},
  ): Promise<void> {
    const { batchSize, seed } = this.config;
    const total = steps ?? this.config.steps;
    this.checkPrompts(prompts);
    this.#scheduledSteps = this.steps + total;
    this.#callbacks = callbacks;
    if (this.#batches?.prompts !== prompts) {
      this.#batches = { prompts, sequence: new PromptBatches(prompts, { batchSize, seed }) };
    }
    const batches = this.#batches.sequence;
    for (const callback of callbacks) await callback.onTrainBegin?.(this, { steps: total });
    for (let taken = 0; taken < total; taken++) {
      for (const callback of callbacks) await callback.onStepBegin?.(this, this.steps + 1);
      const stats = await this.#stepOn(batches);
      for (const callback of callbacks) await callback.onStepEnd?.(this, stats);
    }
    for (const callback of callbacks) await callback.onTrainEnd?.(this);
  }

  /** A step on the next prompts; where it fails, they stay the next ones. */
  async #stepOn(batches: PromptBatches): Promise<PpoStats> {
    const { position } = batches;
    try {
      return await this.trainStep(batches.next());
    } catch (error) {
      batches.position = position;
      throw error;
    }
  }

  /**
   * What the policy does with prompts now: texts, scores, and the KL to the reference.
   *
   * @param options.responses Responses in all, the prompts taken in turn (default: one a prompt).
   */
  async evaluate(
    prompts: readonly string[],
    { responses = prompts.length }: { responses?: number } = {},
  ): Promise<Evaluation> {
    for (const callback of this.#callbacks) await callback.onEvaluateBegin?.(this);
    const evaluation = await evaluatePolicy(this.run, prompts, { ...this.config, responses });
    for (const callback of this.#callbacks) await callback.onEvaluateEnd?.(this, evaluation);
    return evaluation;
  }

  /** Writes the policy with its value head as a folder that `transformers` loads. */
  async save(folder: string): Promise<void> {
    await this.policy.savePretrained(folder);
    for (const callback of this.#callbacks) await callback.onCheckpoint?.(this, folder);
  }

  /** Frees the models and, if the trainer opened it, the Gpu. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}
