import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError } from "../../train/config.ts";
import { parseConfigFile } from "../../train/config_file.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { fromTrlConfig, isTrlConfig, translateTrl } from "../../train/trl_config.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";

function parse(text: string, path = "trl.yaml") {
  return parseConfigFile(new TextEncoder().encode(text), path);
}

/** As the script of TRL's PPO example is called, and what TRL writes beside it. */
const NEW = `
num_ppo_epochs: 2
num_mini_batches: 4
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
total_episodes: 10000
learning_rate: 3.0e-6
lr_scheduler_type: cosine
warmup_ratio: 0.1
kl_coef: 0.1
kl_estimator: k3
cliprange: 0.1
cliprange_value: 0.3
vf_coef: 0.5
gamma: 0.99
lam: 0.9
whiten_rewards: false
response_length: 64
temperature: 0.8
stop_token: eos
missing_eos_penalty: null
sft_model_path: my/sft
reward_model_path: my/reward
output_dir: runs/trl
seed: 7
bf16: true
batch_size: 64
logging_steps: 10
`;

Deno.test("fromTrlConfig() maps a PPOConfig of now, with the batches that TRL computes", () => {
  const file = translateTrl(parse(NEW), () => {});
  const config = resolveConfig({ file });
  const expected = {
    model: "my/sft",
    reward: "my/reward",
    out: "runs/trl",
    seed: 7,
    epochs: 2,
    batchSize: 64, // 2 a device, 8 accumulated, 4 minibatches
    miniBatchSize: 16,
    gradientAccumulation: 8,
    steps: 157, // 10000 responses of 64 a batch
    learningRate: 3e-6,
    lrSchedule: "cosine",
    warmupSteps: 16,
    klMode: "reward",
    klController: "fixed",
    klEstimator: "k3",
    klCoef: 0.1,
    clipRange: 0.1,
    valueClipRange: 0.3,
    valueCoef: 0.5,
    gamma: 0.99,
    lambda: 0.9,
    maxNewTokens: 64,
    temperature: 0.8,
  } as const;
  for (const [name, value] of Object.entries(expected)) {
    assertEquals([name, config[name as keyof typeof expected]], [name, value]);
  }
});

Deno.test("fromTrlConfig() takes TRL's defaults for what a config leaves out, not ours", () => {
  const { settings, ignored } = fromTrlConfig({ num_ppo_epochs: 4, learning_rate: null });
  const config = resolveConfig({ flags: settings });
  assertEquals(
    [config.learningRate, config.lrSchedule, config.klCoef, config.klEstimator, config.seed],
    [5e-5, "linear", 0.05, "k1", 42],
  );
  assertEquals([config.temperature, config.maxNewTokens, config.batchSize], [0.7, 53, 8]);
  assertEquals(ignored.map(({ name }) => name), ["total_episodes", "stop_token"]);
});

Deno.test("fromTrlConfig() makes one batch of what several processes would compute", () => {
  const { settings } = fromTrlConfig({
    per_device_train_batch_size: 4,
    gradient_accumulation_steps: 2,
    num_mini_batches: 3,
    world_size: 2,
  });
  const { batchSize, miniBatchSize, gradientAccumulation } = settings;
  assertEquals([batchSize, miniBatchSize, gradientAccumulation], [48, 16, 4]);
});

Deno.test("fromTrlConfig() maps a PPOConfig of TRL 0.11 and before", () => {
  const { settings, ignored } = fromTrlConfig({
    model_name: "gpt2",
    steps: 1000,
    batch_size: 64,
    mini_batch_size: 4,
    gradient_accumulation_steps: 2,
    ppo_epochs: 3,
    init_kl_coef: 0.3,
    adap_kl_ctrl: false,
    target: 6, // without the controller it says nothing
    kl_penalty: "full",
    use_score_scaling: true,
    use_score_norm: true,
    score_clip: 5,
    log_with: "wandb",
  });
  assertEquals(settings, {
    klMode: "reward",
    model: "gpt2",
    batchSize: 64,
    gradientAccumulation: 2,
    epochs: 3,
    learningRate: 1.41e-5,
    klCoef: 0.3,
    miniBatchSize: 8,
    steps: 16,
    maxGradNorm: 0,
    klEstimator: "full",
    klController: "fixed",
    normaliseScores: true,
    rewardClip: 5,
  });
  resolveConfig({ flags: settings });
  assertEquals(ignored, [{ name: "log_with", value: "wandb" }]);
});

Deno.test("fromTrlConfig() maps the adaptive controller, and says that its target stays open", () => {
  const { settings, ignored } = fromTrlConfig({ ppo_epochs: 4, horizon: 5000 });
  assertEquals([settings.klController, settings.klHorizon], ["proportional", 5000]);
  assertEquals(ignored.map(({ name }) => name), ["target"]);
});

const REFUSED: [record: Record<string, unknown>, says: string][] = [
  [{ ppo_epochs: 4, target: 6 }, "Cannot use target 6 of the TRL config"],
  [{ whiten_rewards: true }, "whiten_rewards true of the TRL config: it has no equal here"],
  [{ missing_eos_penalty: 1 }, "missing-end"],
  [{ num_ppo_epochs: 1, stop_token_id: 13 }, "stop_token_id 13"],
  [{ num_ppo_epochs: 1, stop_token: "period" }, 'stop_token "period"'],
  [{ num_ppo_epochs: 1, lr_scheduler_type: "polynomial" }, "use one of constant,"],
  [{ num_ppo_epochs: 1, optim: "adafactor" }, "the optimizer is AdamW"],
  [{ num_ppo_epochs: 1, warmup_ratio: 0.1 }, "give warmup_steps"],
  [{ ppo_epochs: 1, use_score_scaling: true }, "use it with use_score_norm"],
  [{ ppo_epochs: 1, early_stopping: true }, "early_stopping true"],
  [{ lam: 0.9, num_mini_batches: 1.5 }, "num_mini_batches 1.5 of the TRL config: it must be"],
  [{ lam: 0.9, clip_range: 0.1 }, "clip_range 0.1 of the TRL config: it has no equal here; it is"],
  [{ ppo_epochs: 1, num_ppo_epochs: 1 }, "ppo_epochs is of TRL 0.11 and before, num_ppo_epochs"],
];
for (const [record, says] of REFUSED) {
  Deno.test(`fromTrlConfig() refuses ${JSON.stringify(record)}`, () => {
    assertThrows(() => fromTrlConfig(record), ConfigError, says);
  });
}

Deno.test("translateTrl() says what it mapped, from what, and what it ignored", () => {
  const lines: string[] = [];
  translateTrl(parse(NEW), (line) => lines.push(line));
  const text = lines.join("\n");
  assertStringIncludes(text, "trl.yaml is a PPOConfig of TRL, which means here:\n");
  assertStringIncludes(text, '  klMode "reward" <- always so in TRL\n');
  assertStringIncludes(text, "  lambda 0.9 <- lam\n");
  assertStringIncludes(text, "and in which was ignored:\n");
  assertStringIncludes(text, "  bf16 true: everything is computed in f32\n");
  assert(text.endsWith("  logging_steps 10"));
});

Deno.test("translateTrl() keeps the lines, for messages about values", () => {
  const file = translateTrl(parse('{\n"lam": 2\n}', "trl.json"), () => {});
  assertThrows(() => resolveConfig({ file }), ConfigError, "lambda 2 (trl.json, line 2)");
});

Deno.test("translateTrl() leaves a config file of this project as it is", () => {
  const file = parse("kl_coef: 0.1\nbatch_size: 4\nlearning_rate: 1.0e-5\nsteps: 3\n");
  assertEquals(translateTrl(file, () => assert(false)), file);
  assert(!isTrlConfig(["seed", "temperature", "gamma"]));
});

Deno.test("train --config reads a TRL config, and refuses what it cannot mean", () =>
  withFolder(async (folder) => {
    const config = `${folder}/trl.json`;
    const train = async (record: Record<string, unknown>) => {
      await Deno.writeTextFile(config, JSON.stringify(record));
      const sizes = ["--model", GPT2, "--eval-responses", "0", "--out", `${folder}/run`];
      return await runProgram("train", ["--config", config, ...sizes]);
    };
    assertRefused(
      await train({ lam: 0.9, whiten_rewards: true }),
      /Cannot use whiten_rewards true/,
    );

    const { code, stderr } = await train({
      num_ppo_epochs: 1,
      per_device_train_batch_size: 2,
      total_episodes: 2,
      response_length: 4,
      kl_coef: 0.3,
    });
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "trl.json is a PPOConfig of TRL, which means here:\n");
    const saved = JSON.parse(await Deno.readTextFile(`${folder}/run/config.json`));
    assertEquals([saved.klCoef, saved.klMode, saved.steps, saved.batchSize], [0.3, "reward", 1, 2]);
  }));
