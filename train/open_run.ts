import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import type { LoraOptions } from "../model/lora.ts";
import type { TrainConfig } from "./config.ts";
import { KlDivergenceController } from "./kl_controller.ts";
import { configuredJudge, configuredReward } from "./load_reward.ts";
import { findModel } from "./model_source.ts";
import { AdamW } from "./optimizer.ts";
import type { PpoRun } from "./ppo.ts";
import type { PpoTrainerOptions } from "./trainer_options.ts";
import { Rng } from "./rng.ts";
import { ScoreNormaliser } from "./score_normaliser.ts";

/** Folder of the small policy that comes with the package. */
export const EMBEDDED_POLICY: string = fileURLToPath(
  new URL("../weights/review-gpt2", import.meta.url),
);

/**
 * Everything that a PPO step works on, made from settings: policy and reference loaded, the rest at its beginning.
 *
 * @param resources Takes over what has to be freed.
 */
export async function openRun(
  gpu: Gpu,
  resources: DisposableStack,
  config: TrainConfig,
  { hub = {}, reward: given, say }: Pick<PpoTrainerOptions, "hub" | "reward" | "say">,
): Promise<PpoRun> {
  const { referenceDtype: dtype } = config;
  const scorers = { gpu, hub, say, dtype };
  const reward = typeof given === "object" ? given : await configuredReward(config, scorers);
  if (reward !== given) resources.defer(() => reward[Symbol.dispose]?.());
  const judge = await configuredJudge(config, scorers);
  if (judge) resources.defer(() => judge[Symbol.dispose]?.());
  const { folder, name } = config.model
    ? await findModel(config.model, hub)
    : { folder: EMBEDDED_POLICY, name: EMBEDDED_POLICY };
  const rng = new Rng(config.seed, "lora");
  const adapters = loraOptions(config);
  const policy = resources.use(
    await loadCausalLM(gpu, folder, {
      train: true,
      valueHead: true,
      specialTokens: config.specialTokens,
      frozenBlocks: config.freezeLayers,
      hub,
      name: name === folder ? resolve(folder) : name,
      ...(adapters && { lora: { ...adapters, uniform: () => rng.next() } }),
    }),
  );
  const reference = resources.use(policy.reference({ dtype }));
  return beginRun(resources, { policy, reference, reward, ...(judge && { judge }), config });
}

/** The adapters that the settings ask for, if any. */
export function loraOptions(
  { loraRank: rank, loraAlpha: alpha, loraTargets }: Pick<
    TrainConfig,
    "loraRank" | "loraAlpha" | "loraTargets"
  >,
): LoraOptions | undefined {
  if (rank === 0) return undefined;
  const targets = loraTargets.split(",").map((name) => name.trim()).filter((name) => name !== "");
  return { rank, alpha, targets };
}

/** A run at its beginning: moments zero, controller and random numbers as the settings say. */
export function beginRun(
  resources: DisposableStack,
  { policy, reference, reward, judge, config }: Pick<
    PpoRun,
    "policy" | "reference" | "reward" | "judge" | "config"
  >,
): PpoRun {
  const optimizer = resources.use(
    new AdamW(policy.gpu, policy.trained.layout, { ...config, epsilon: config.adamEpsilon }),
  );
  return {
    policy,
    reference,
    reward,
    ...(judge && { judge }),
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
}
