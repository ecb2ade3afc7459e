/**
 * RLHF with PPO for GPT-2-class language models; every tensor operation is a WGSL kernel on WebGPU.
 *
 * ```ts
 * import { checkpointEvery, PpoTrainer, progress } from "@kl-guard/kl-guard";
 *
 * using trainer = await PpoTrainer.create({
 *   batchSize: 8, // responses per step
 *   klTarget: 0.05, // nats per token
 *   maxNewTokens: 12,
 *   reward: {
 *     name: "short sentences",
 *     score: (samples) => samples.map(({ response }) => response.split(".").length),
 *   },
 * });
 * await trainer.train({
 *   steps: 2,
 *   callbacks: [progress(console.log), checkpointEvery(10, (step) => `checkpoints/${step}`)],
 * });
 * const { meanScore, kl } = await trainer.evaluate(["The movie was", "This restaurant is"]);
 * console.log(`reward ${meanScore}, KL ${kl}`);
 * ```
 *
 * Without a `model` it trains the small policy that comes with the package.
 *
 * @module
 */

export {
  type Access,
  type AdapterLimits,
  adapterLimits,
  type AdapterOptions,
  type Arena,
  type Bound,
  DeviceLostError,
  type Dispatch,
  type Dtype,
  Gpu,
  type GpuCounts,
  GpuError,
  GpuMemoryError,
  type GpuOptions,
  GpuUnavailableError,
  type GpuWatcher,
  type HostArray,
  type Kernel,
  kernel,
  type Pass,
  Profiler,
  type Scalar,
  ShaderError,
  ShapeError,
  type Specialisation,
  type SubmittedPass,
  type Tensor,
  type TimedDispatch,
  Tuning,
} from "./kernels/runtime/mod.ts";
export { tune, type TuneOptions } from "./kernels/tune.ts";
export type { Sequences } from "./kernels/attention.ts";
export type { GeluKind } from "./kernels/gelu.ts";
export { KL_ESTIMATORS, type KlEstimator } from "./kernels/kl.ts";

export { JsonError, ModelFolderError, SafetensorsError } from "./weights/errors.ts";
export { JsonLinesError } from "./weights/jsonl.ts";
export { type ResolvedModel, resolveModel, resolveModelFolder } from "./weights/hub.ts";
export { HubError, type HubErrorKind } from "./weights/hub_errors.ts";
export {
  type DownloadProgress,
  type Environment,
  type HubOptions,
  hubOptionsFromEnv,
} from "./weights/hub_options.ts";

export { mergeAdapters, readAdapters } from "./model/adapter_folder.ts";
export {
  type ChatMessage,
  ChatTemplate,
  ChatTemplateError,
  chatTemplateOf,
} from "./model/chat_template.ts";
export { CausalLM, type CausalLMParts } from "./model/causal_lm.ts";
export type { FrozenDtype } from "./model/half_tensors.ts";
export { type CausalLMConfig, parseCausalLMConfig } from "./model/causal_lm_config.ts";
export {
  parseSequenceClassifierConfig,
  type SequenceClassifierConfig,
} from "./model/classifier_config.ts";
export {
  type Gpt2Activation,
  type Gpt2Config,
  parseGpt2Config,
  type TrunkConfig,
} from "./model/config.ts";
export {
  type GptNeoAttention,
  type GptNeoConfig,
  parseGptNeoConfig,
} from "./model/gpt_neo_config.ts";
export { ModelConfigError } from "./model/config_json.ts";
export type { DistilBertConfig } from "./model/distilbert_config.ts";
export { fetchCausalLM, type FetchOptions } from "./model/fetch_causal_lm.ts";
export type { GenerateOptions, Generation } from "./model/generate.ts";
export type { CausalLMFiles } from "./model/causal_lm_folder.ts";
export { Gradients, type GradientTarget } from "./model/gradients.ts";
export { initCausalLM, loadCausalLM, type LoadOptions } from "./model/gpt2_weights.ts";
export { Adapters, LoraError, type LoraOptions } from "./model/lora.ts";
export type {
  FlatRange,
  FlatTensors,
  JoinedTensors,
  NamedTensors,
  ParameterLayout,
  ParameterSpec,
  ParameterValues,
  StoredTensor,
} from "./model/params.ts";
export { SAVE_DTYPES, type SaveDtype, type SaveOptions } from "./model/save.ts";
export type { TokenScores } from "./model/score.ts";
export {
  type Classification,
  type EncodedText,
  SequenceClassifier,
  type SequenceClassifierParts,
} from "./model/sequence_classifier.ts";
export {
  type ClassifierLoadOptions,
  initSequenceClassifier,
  loadSequenceClassifier,
} from "./model/sequence_classifier_weights.ts";
export { padRight, type TokenBatch, type TokenRows, TokenRowsError } from "./model/token_batch.ts";
export {
  type DecodeOptions,
  loadTokenizer,
  readTokenizer,
  type TextCodec,
  TokenizerError,
  type TokenizerFiles,
  type TokenizerOptions,
} from "./model/tokenizer.ts";

export { CompositeReward, type RewardPart } from "./reward/composite.ts";
export { type DiversityOptions, DiversityReward } from "./reward/diversity.ts";
export { HeuristicReward } from "./reward/heuristic.ts";
export { type HttpOptions, HttpReward } from "./reward/http.ts";
export { type LengthOptions, LengthReward } from "./reward/length.ts";
export { MissingEndPenalty } from "./reward/missing_end.ts";
export { PatternReward } from "./reward/pattern.ts";
export { PreferenceReward } from "./reward/preference.ts";
export {
  NonFiniteScoreError,
  type Reward,
  RewardError,
  type Sample,
  type Scores,
  scoreSamples,
} from "./reward/reward.ts";
export { type RewardCandidate, RobustReward } from "./reward/robust.ts";
export { RewardLabelError, type SentimentOptions, SentimentReward } from "./reward/sentiment.ts";
export type { ClassifiedText, TextClass, TextClassifier } from "./reward/text_classifier.ts";

export {
  checkpointEvery,
  type PpoStats,
  progress,
  showSample,
  type TrainerCallback,
  type WriteOptions,
} from "./train/callbacks.ts";
export { type Checkpoint, openCheckpoint } from "./train/checkpoint.ts";
export { CheckpointError } from "./train/checkpoint_error.ts";
export { type AdapterPeaks, measurePeaks } from "./train/adapter_peaks.ts";
export { comparison, type ComparisonOptions, type EvaluationSummary } from "./train/comparison.ts";
export { ConfigError, type SettingName, type TrainConfig } from "./train/config.ts";
export { type ConfigEntry, type ConfigFile, readConfigFile } from "./train/config_file.ts";
export { type ConfigSources, resolveConfig } from "./train/config_resolve.ts";
export {
  earlyStopping,
  type EarlyStoppingOptions,
  learningRateScheduler,
  terminateOnNaN,
} from "./train/control.ts";
export {
  ComparisonError,
  evaluatePolicy,
  type Evaluation,
  riseInStandardErrors,
} from "./train/evaluate.ts";
export type { GuardReport } from "./train/guard.ts";
export { GuardError, type GuardEvent } from "./train/guard_event.ts";
export {
  type GuardAction,
  type GuardRule,
  type GuardView,
  RULE_NAMES as GUARD_RULE_NAMES,
  type RuleName as GuardRuleName,
  RULES as GUARD_RULES,
} from "./train/guard_rules.ts";
export type { WindowFigures } from "./train/guard_window.ts";
export {
  type Experience,
  type KeptForward,
  type ScoreOptions,
  scoreRollout,
} from "./train/experience.ts";
export { gae, type GaeInputs, type GaeOptions } from "./train/gae.ts";
export {
  type KlControllerKind,
  type KlControllerOptions,
  type KlControllerState,
  KlDivergenceController,
} from "./train/kl_controller.ts";
export { estimateKl } from "./train/kl_estimators.ts";
export { csvLogger, tensorBoard } from "./train/loggers.ts";
export type { DeliveryOptions } from "./train/delivery.ts";
export type { MetricSink } from "./train/metric_sink.ts";
export { mlflow, type MlflowOptions } from "./train/mlflow.ts";
export type { ServiceOptions } from "./train/service.ts";
export { trackio, type TrackioOptions } from "./train/trackio.ts";
export type { PpoMetrics, PpoStepRecord, StepTimings, UpdateStats } from "./train/metrics.ts";
export { loadReward, type RewardSources } from "./train/load_reward.ts";
export {
  type DistributionName,
  DISTRIBUTIONS,
  type MetricName,
  METRICS,
  PERCENTILES,
  type RewardMetrics,
} from "./train/metric_table.ts";
export type { SampleRecord } from "./train/metrics_writer.ts";
export { AdamW, type AdamWOptions } from "./train/optimizer.ts";
export {
  checkMemory,
  type MemoryCheck,
  MemoryPlanError,
  type Remedy,
} from "./train/memory_check.ts";
export { formatModelCard, type ModelCard } from "./train/model_card.ts";
export { type MemoryPlan, type PlanInputs, planMemory, type PromptLengths } from "./train/plan.ts";
export { ppoCard, type PpoCardFacts } from "./train/ppo_card.ts";
export {
  advantagesOf,
  PPO_PHASES,
  type PpoPhase,
  type PpoRun,
  type PpoStep,
  ppoStep,
  updatePolicy,
} from "./train/ppo.ts";
export { PpoTrainer } from "./train/ppo_trainer.ts";
export {
  HELD_OUT_PROMPTS,
  loadPrompts,
  PromptError,
  type PromptOptions,
  type Prompts,
  TRAINING_PROMPTS,
} from "./train/prompts.ts";
export {
  encodeRecords,
  readRewardData,
  type RewardData,
  type RewardExample,
  type RewardRecord,
  type TextEncoder,
} from "./train/reward_data.ts";
export type {
  CheckpointEvent,
  EndEvent,
  EvaluationEvent,
  GuardLineEvent,
  ProgramEvent,
  SampleEvent,
  SftValidation,
  StartEvent,
  StepEvent,
} from "./train/program_events.ts";
export type { Margins, RewardEvaluation, SourceAccuracy } from "./train/reward_evaluation.ts";
export {
  DivergedError,
  type FitOptions,
  type FitProgress,
  type FitResult,
  fitReward,
} from "./train/reward_fit.ts";
export {
  LabelObjective,
  type ObjectiveTensors,
  PairObjective,
  type RewardObjective,
  type Verdict,
} from "./train/reward_objectives.ts";
export {
  type RewardProgress,
  RewardTrainer,
  type RewardTrainerOptions,
} from "./train/reward_trainer.ts";
export { type TokenRewardInputs, tokenRewards } from "./train/rewards.ts";
export { Rng, type RngState } from "./train/rng.ts";
export { type Rollout, type RolloutOptions, sampleRollout } from "./train/rollout.ts";
export type { Rows } from "./train/rows.ts";
export { RunFolderError } from "./train/run_folder.ts";
export { learningRateAt, type Schedule, type ScheduleKind } from "./train/schedule.ts";
export {
  type DispatchProfile,
  type KernelProfile,
  kernelProfiles,
  profileDispatches,
  profileSteps,
  type StepOptions,
  type StepPart,
  type StepProfile,
} from "./train/step_profile.ts";
export {
  adjustScores,
  type ScoreAdjustment,
  ScoreNormaliser,
  type ScoreNormaliserState,
} from "./train/score_normaliser.ts";
export { type SftOptions, type SftStats, SftTrainer } from "./train/sft_trainer.ts";
export { TemplateError } from "./train/template.ts";
export { type Documents, packedBatches, readDocuments, TextDataError } from "./train/text_data.ts";
export type {
  EvaluateOptions,
  PpoTrainerOptions,
  SaveTrainerOptions,
  TrainOptions,
} from "./train/trainer_options.ts";
export {
  type AdapterState,
  type ResumeRecord,
  STATE_VERSION,
  type TrainerState,
} from "./train/trainer_state.ts";
export {
  fromTrlConfig,
  type IgnoredName,
  isTrlConfig,
  type MappedSetting,
  translateTrl,
  type TrlTranslation,
} from "./train/trl_config.ts";
export { whiten, type WhitenOptions } from "./train/whiten.ts";
