/**
 * Names, values and defaults of TRL's `PPOConfig`, from `ppo_config.py` of TRL 0.7 to 0.11 and of `trl.experimental.ppo`,
 * and from transformers' `TrainingArguments`.
 */

import type { SettingName } from "./config.ts";

/** Since TRL 0.12, or until 0.11. */
export type TrlKind = "new" | "old";

/** Names that only a TRL config has, and of which one is enough to tell it by. */
export const TELLING: Record<TrlKind | "both", readonly string[]> = {
  both: ["cliprange", "cliprange_value", "vf_coef", "lam", "whiten_rewards"],
  new: [
    "num_ppo_epochs",
    "num_mini_batches",
    "response_length",
    "total_episodes",
    "stop_token",
    "stop_token_id",
    "missing_eos_penalty",
    "per_device_train_batch_size",
    "local_rollout_forward_batch_size",
    "sft_model_path",
    "reward_model_path",
  ],
  old: ["ppo_epochs", "init_kl_coef", "adap_kl_ctrl", "kl_penalty", "use_score_scaling"],
};

/** TRL's name -> ours, where the values mean the same. */
export const SAME: Record<TrlKind, Readonly<Record<string, SettingName>>> = {
  new: {
    sft_model_path: "model",
    reward_model_path: "reward",
    output_dir: "out",
    seed: "seed",
    num_ppo_epochs: "epochs",
    learning_rate: "learningRate",
    warmup_steps: "warmupSteps",
    adam_beta1: "beta1",
    adam_beta2: "beta2",
    adam_epsilon: "adamEpsilon",
    weight_decay: "weightDecay",
    max_grad_norm: "maxGradNorm",
    kl_coef: "klCoef",
    kl_estimator: "klEstimator",
    cliprange: "clipRange",
    cliprange_value: "valueClipRange",
    vf_coef: "valueCoef",
    gamma: "gamma",
    lam: "lambda",
    response_length: "maxNewTokens",
    temperature: "temperature",
  },
  old: {
    model_name: "model",
    seed: "seed",
    batch_size: "batchSize",
    gradient_accumulation_steps: "gradientAccumulation",
    ppo_epochs: "epochs",
    learning_rate: "learningRate",
    init_kl_coef: "klCoef",
    cliprange: "clipRange",
    cliprange_value: "valueClipRange",
    vf_coef: "valueCoef",
    gamma: "gamma",
    lam: "lambda",
  },
};

/** What TRL takes where nothing is said, and this project does not. */
export const DEFAULTS: Record<TrlKind, Readonly<Record<string, unknown>>> = {
  new: {
    seed: 42,
    per_device_train_batch_size: 8,
    gradient_accumulation_steps: 1,
    num_mini_batches: 1,
    learning_rate: 5e-5,
    lr_scheduler_type: "linear",
    kl_coef: 0.05,
    kl_estimator: "k1",
    response_length: 53,
    temperature: 0.7,
  },
  old: {
    batch_size: 128,
    mini_batch_size: 128,
    gradient_accumulation_steps: 1,
    steps: 20_000,
    learning_rate: 1.41e-5,
    max_grad_norm: 0,
    init_kl_coef: 0.2,
    kl_penalty: "kl",
    adap_kl_ctrl: true,
    horizon: 10_000,
  },
};

/** `lr_scheduler_type` -> `lrSchedule`. */
export const SCHEDULES: Readonly<Record<string, unknown>> = {
  constant: "constant",
  constant_with_warmup: "constant",
  linear: "linear",
  cosine: "cosine",
};

/** `kl_penalty` -> `klEstimator`. */
export const ESTIMATORS: Readonly<Record<string, unknown>> = {
  kl: "k1",
  abs: "abs",
  mse: "k2",
  full: "full",
};

/** Names that change what is computed unless they have one of these values, and what to do about others. */
export const ONLY: Readonly<Record<string, { values: readonly unknown[]; remedy: string }>> = {
  whiten_rewards: { values: [false], remedy: "rewards are not whitened here; see normaliseScores" },
  missing_eos_penalty: {
    values: [],
    remedy: "give a reward of parts with `missing-end` and this weight, below 0, and remove it",
  },
  stop_token: { values: ["eos"], remedy: "responses end at the end of text only" },
  stop_token_id: { values: [], remedy: 'use stop_token "eos"' },
  model_adapter_name: { values: [], remedy: "give the folder of the adapters as sft_model_path" },
  ref_adapter_name: { values: [], remedy: "the reference is the model as it begins" },
  lr_scheduler_kwargs: { values: [], remedy: "schedules have no options here" },
  early_stopping: { values: [false], remedy: "use the callback earlyStopping, or the guard" },
  reward_shaping_enable_length: { values: [false], remedy: "give a reward of parts with `length`" },
  reward_shaping_enable_repetition: {
    values: [false],
    remedy: "give a reward of parts with `diversity`",
  },
  reward_shaping_enable_eos: {
    values: [false],
    remedy: "give a reward of parts with `missing-end`",
  },
  optim: {
    values: ["adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused"],
    remedy: "the optimizer is AdamW",
  },
};

/** What to say of names that are ignored. */
export const REMARKS: Readonly<Record<string, string>> = {
  bf16: "everything is computed in f32",
  fp16: "everything is computed in f32",
  reward_model: "TRL only notes it; give --reward",
  ratio_threshold: "the guard has guardRatio",
  num_train_epochs: "give --steps, or total_episodes",
  batch_size: "follows from the sizes that TRL computes it of",
  mini_batch_size: "follows from the sizes that TRL computes it of",
};
