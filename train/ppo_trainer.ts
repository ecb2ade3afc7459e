import { Gpu } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { parseBytes } from "./byte_size.ts";
import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import type { TrainConfig } from "./config.ts";
import { resolveConfig } from "./config_resolve.ts";
import { evaluatePolicy, type Evaluation } from "./evaluate.ts";
import { type Checkpoint, openCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { Guard, type GuardReport } from "./guard.ts";
import { hashModel } from "./identity.ts";
import type { PpoMetrics } from "./metrics.ts";
import { openRun } from "./open_run.ts";
import { ppoCard, type PpoCardFacts } from "./ppo_card.ts";
import { type PpoRun, ppoStep } from "./ppo.ts";
import { PromptPlace } from "./prompt_place.ts";
import { type PromptBatches, TRAINING_PROMPTS } from "./prompts.ts";
import { reserveActivations } from "./reserve.ts";
import { type ChangedSettings, changedSettings, savedSettings } from "./resume.ts";
import { adapterOf, checkSameRun, restoreMemory, restoreRun, runState } from "./run_state.ts";
import { encodePrompts } from "./rollout.ts";
import { learningRateAt } from "./schedule.ts";
import { stepStats } from "./step_stats.ts";
import {
  type EvaluateOptions,
  type PpoTrainerOptions,
  type SaveTrainerOptions,
  settingsOf,
  type TrainOptions,
} from "./trainer_options.ts";
import type { TrainerState } from "./trainer_state.ts";

/**
 * RLHF with PPO on one policy: loads it, trains it against a reward near its reference, evaluates it, saves it.
 *
 * ```ts
 * import { PpoTrainer } from "@kl-guard/kl-guard";
 *
 * using trainer = await PpoTrainer.create({
 *   steps: 1,
 *   batchSize: 4,
 *   reward: { name: "brevity", score: (samples) => samples.map(({ response }) => -response.length) },
 * });
 * await trainer.train({ prompts: ["The movie was", "This restaurant is"] });
 * const { meanScore, kl } = await trainer.evaluate(["The movie was"]);
 * console.log(`${meanScore}, ${kl} nats per token`);
 * ```
 */
export class PpoTrainer implements Disposable {
  /** Steps taken. */
  steps = 0;
  /** Responses sampled. */
  episodes = 0;
  /** Learning rate of the next steps in place of the schedule's, which is followed while this is undefined. */
  learningRate: number | undefined;
  #callbacks: readonly TrainerCallback[] = [];
  #isStopping = false;
  /** How far training has come in its prompts, so that a second `train` goes on where the first ended. */
  readonly #place: PromptPlace;
  /** What the checkpoint that this run was resumed from says to the first `train`. */
  #resumed: Checkpoint | undefined;
  #resumes: TrainerState["resumes"] = [];
  /** Undefined where the settings turn it off. */
  readonly #guard: Guard | undefined;
  /** Of the reference, which does not change; read when it is first needed. */
  #referenceHash: string | undefined;
  /** Of the last step, for the model card. */
  #metrics: PpoMetrics | undefined;
  /** The step at which the learning rate's schedule ends. */
  #scheduledSteps: number;
  readonly #resources: DisposableStack;

  private constructor(readonly run: PpoRun, readonly gpu: Gpu, resources: DisposableStack) {
    this.#resources = resources;
    this.#scheduledSteps = run.config.steps;
    this.#place = new PromptPlace(run.config);
    if (run.config.guard) this.#guard = new Guard(run.config);
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
    return await PpoTrainer.#open(resolveConfig({ flags: settingsOf(options) }), options);
  }

  /**
   * Goes on from a checkpoint as if training had never ended: parameters, moments, random numbers, prompts, KL weight.
   * On the same adapter the same numbers come out, bit by bit.
   *
   * Its reference is the model that the run began with. `train` expects the same prompts, and without `steps` takes what
   * is left of the setting.
   *
   * @param options Settings that are to change; most may not. Whatever was given as a value must be given again.
   * @throws {CheckpointError} If the checkpoint is not whole, or the reference or the reward is another.
   * @throws {ConfigError} If a setting may not change.
   */
  static async resume(folder: string, options: PpoTrainerOptions = {}): Promise<PpoTrainer> {
    const checkpoint = await openCheckpoint(folder);
    const resumed = savedSettings(checkpoint.state.config, folder);
    const config = resolveConfig({ resumed, flags: settingsOf(options) });
    const changed = changedSettings(resolveConfig({ resumed }), config);
    const trainer = await PpoTrainer.#open(config, options);
    try {
      trainer.#referenceHash = await checkSameRun(trainer.run, checkpoint);
      await trainer.#restore(checkpoint, changed);
    } catch (error) {
      trainer[Symbol.dispose]();
      throw error;
    }
    return trainer;
  }

  static async #open(config: TrainConfig, options: PpoTrainerOptions): Promise<PpoTrainer> {
    using resources = new DisposableStack(); // freed here if anything below throws
    const byteBudget = parseBytes(config.memoryBudget);
    const gpuOptions = {
      ...(options.watcher && { watcher: options.watcher }),
      ...(byteBudget && { byteBudget }),
    };
    const gpu = options.gpu ?? resources.use(await Gpu.open(gpuOptions));
    return new PpoTrainer(await openRun(gpu, resources, config, options), gpu, resources.move());
  }

  /** The settings, resolved. */
  get config(): TrainConfig {
    return this.run.config;
  }

  /** Where the run was resumed, oldest first, and which settings changed there. */
  get resumes(): TrainerState["resumes"] {
    return this.#resumes;
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
   * A learning rate that falls reaches 0 at the setting `steps`, or at the end of the last {@linkcode train}. Where an event
   * of the step says `rollback`, {@linkcode steps} is that of the checkpoint which the guard went back to.
   *
   * @throws {GuardError} If the guard ends training.
   * @throws {RewardError} If the reward fails, or goes on giving scores that are not finite.
   */
  async trainStep(prompts: readonly string[]): Promise<PpoStats> {
    const { stats, error } = await this.#takeStep(prompts);
    if (error) throw error;
    return stats;
  }

  async #takeStep(prompts: readonly string[]): Promise<TakenStep> {
    const { config } = this;
    const learningRate = this.learningRate ?? learningRateAt(this.steps, {
      kind: config.lrSchedule,
      learningRate: config.learningRate,
      totalSteps: Math.max(this.#scheduledSteps, config.warmupSteps + 1),
      warmupSteps: config.warmupSteps,
    });
    await this.#guard?.begin(this.run, prompts, { moved: this.steps > 0 });
    const taken = await ppoStep(this.run, prompts, { step: this.steps, learningRate });
    this.steps++;
    this.episodes += prompts.length;
    const guard = await this.#guard?.inspect(this.run, taken, this.steps);
    const { steps: step, episodes: episode } = this;
    const stats = stepStats(taken, { step, episode, guard, tokenizer: this.policy.tokenizer });
    this.#metrics = stats.metrics;
    if (guard) await this.#follow(guard);
    return { stats, ...(guard?.error && { error: guard.error }) };
  }

  /** Goes back if the guard decided so, and tells what it saw. */
  async #follow({ events, target }: GuardReport): Promise<void> {
    if (target) {
      await this.#goTo(target);
      for (const callback of this.#callbacks) {
        restoreCallback(callback, target);
        await callback.onRollback?.(this);
      }
    }
    for (const event of events) {
      for (const callback of this.#callbacks) await callback.onGuardEvent?.(this, event);
    }
  }

  /**
   * Trains on shuffled rounds of prompts; `callbacks` hear of later evaluations and checkpoints too.
   *
   * @throws {TokenRowsError} If a prompt is empty or too long, before the first step.
   * @throws {CheckpointError} If the run was resumed, and began with other prompts.
   * @throws {GuardError | RewardError} As {@linkcode trainStep}.
   */
  async train(
    { steps, prompts = TRAINING_PROMPTS, callbacks = [], signal }: TrainOptions = {},
  ): Promise<void> {
    const left = this.config.steps - (this.#resumed?.state.step ?? 0);
    const total = steps ?? Math.max(0, left);
    this.checkPrompts(prompts);
    await reserveActivations(this.run, prompts);
    let batches = this.#place.of(prompts, this.#resumed);
    const end = this.steps + total;
    this.#scheduledSteps = end;
    this.#callbacks = callbacks;
    for (const callback of callbacks) restoreCallback(callback, this.#resumed);
    this.#resumed = undefined;
    for (const callback of callbacks) await callback.onTrainBegin?.(this, { steps: total });
    this.#isStopping = false;
    while (this.steps < end && !this.#isStopping && !signal?.aborted) {
      for (const callback of callbacks) await callback.onStepBegin?.(this, this.steps + 1);
      const { stats, error } = await this.#stepOn(batches);
      if (stats.events.some(({ action }) => action === "rollback")) {
        batches = this.#place.of(prompts, this.#resumed);
        this.#resumed = undefined;
        continue;
      }
      for (const callback of callbacks) await callback.onStepEnd?.(this, stats);
      if (error) throw error;
    }
    for (const callback of callbacks) await callback.onTrainEnd?.(this);
  }

  /** Ends `train` after the step that is being taken; for callbacks. */
  stop(): void {
    this.#isStopping = true;
  }

  /** A step on the next prompts; where it fails, they stay the next ones. */
  async #stepOn(batches: PromptBatches): Promise<TakenStep> {
    const { position } = batches;
    try {
      return await this.#takeStep(batches.next());
    } catch (error) {
      batches.position = position;
      throw error;
    }
  }

  /**
   * What the policy does with prompts now: texts, scores, and the KL to the reference.
   */
  async evaluate(
    prompts: readonly string[],
    { responses = prompts.length, onProgress }: EvaluateOptions = {},
  ): Promise<Evaluation> {
    for (const callback of this.#callbacks) await callback.onEvaluateBegin?.(this);
    const options = { ...this.config, responses, onProgress };
    const evaluation = await evaluatePolicy(this.run, prompts, options);
    for (const callback of this.#callbacks) await callback.onEvaluateEnd?.(this, evaluation);
    return evaluation;
  }

  /** What the reference does with prompts, and so what the policy did before its first step. */
  evaluateReference(
    prompts: readonly string[],
    { responses = prompts.length, onProgress }: EvaluateOptions = {},
  ): Promise<Evaluation> {
    const { policy, reference } = this.run;
    policy.arena[Symbol.dispose](); // makes room for a cache of the reference's own, which no plan counts
    return evaluatePolicy({ ...this.run, policy: reference }, prompts, {
      ...this.config,
      responses,
      onProgress,
    });
  }

  /**
   * Writes a checkpoint: the policy with its value head as a folder that `transformers` loads, and in it what
   * {@linkcode resume} needs. It appears whole or not at all.
   *
   * @throws {CheckpointError} If the file system does not take it.
   */
  async save(folder: string, { resumable = true }: SaveTrainerOptions = {}): Promise<void> {
    const { policy, optimizer } = this.run;
    const card = this.card();
    if (resumable) {
      await writeCheckpoint(folder, { policy, optimizer, state: await this.#state(), card });
      this.#guard?.checkpoints.add(folder);
    } else await policy.savePretrained(folder, { card });
    for (const callback of this.#callbacks) await callback.onCheckpoint?.(this, folder);
  }

  /** The model card of the policy as it is now: what was trained, on what, how, and what came of it. */
  card(
    { merged = false, ...known }: { merged?: boolean } & Pick<PpoCardFacts, "evaluations"> = {},
  ): string {
    const { config, steps, episodes, run: { policy, reward } } = this;
    return ppoCard({
      config,
      steps,
      episodes,
      reward: reward.name,
      isAdapter: policy.adapters !== undefined && !merged,
      metrics: this.#metrics,
      ...known,
    });
  }

  async #state(): Promise<Omit<TrainerState, "format" | "version">> {
    const { prompts = null, callbacks = {} } = this.#resumed?.state ?? {};
    return {
      step: this.steps,
      episodes: this.episodes,
      scheduledSteps: this.#scheduledSteps,
      ...await runState(this.run),
      prompts: this.#place.state() ?? prompts,
      callbacks: {
        ...callbacks,
        ...(this.#guard && { guard: this.#guard.state() }),
        ...Object.fromEntries(
          this.#callbacks.filter(({ name, state }) => name && state)
            .map((callback) => [callback.name, callback.state!()]),
        ),
      },
      reference: this.#referenceHash ??= await hashModel(this.run.reference),
      resumes: this.#resumes,
    };
  }

  async #restore(checkpoint: Checkpoint, changed: ChangedSettings): Promise<void> {
    const { state } = checkpoint;
    await this.#goTo(checkpoint);
    this.#guard?.checkpoints.add(checkpoint.folder);
    this.#scheduledSteps = "steps" in changed ? this.config.steps : state.scheduledSteps;
    const moved = JSON.stringify(adapterOf(this.gpu)) !== JSON.stringify(state.adapter);
    const adapterBefore = moved ? { adapterBefore: state.adapter } : {};
    if (!moved) this.gpu.tuning.load(state.tuning);
    this.#resumes = [...state.resumes, { step: state.step, changed, ...adapterBefore }];
  }

  /** Goes to where a checkpoint was written, in everything but the settings. */
  async #goTo(checkpoint: Checkpoint): Promise<void> {
    const { state } = checkpoint;
    await restoreRun(this.run, checkpoint);
    restoreMemory(checkpoint, "guard", (memory) => this.#guard?.restore(memory));
    this.#guard?.holdBeta(this.run);
    this.steps = state.step;
    this.episodes = state.episodes;
    this.#place.forget();
    this.#metrics = undefined;
    this.#resumed = checkpoint;
  }

  /** Frees the models and, if the trainer opened it, the Gpu. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

/** A step, and why training has to end after it, if it has to. */
interface TakenStep extends Pick<GuardReport, "error"> {
  stats: PpoStats;
}

function restoreCallback(callback: TrainerCallback, resumed: Checkpoint | undefined): void {
  if (!resumed || !callback.name || resumed.state.callbacks[callback.name] === undefined) return;
  restoreMemory(resumed, callback.name, (memory) => callback.restore?.(memory));
}
