import { type Gpu, sizeOf } from "../../kernels/runtime/mod.ts";
import { CausalLM } from "../../model/causal_lm.ts";
import type { Gpt2Config } from "../../model/config.ts";
import { initialiseParameters } from "../../model/initialise.ts";
import type { TextCodec } from "../../model/tokenizer.ts";
import type { Reward } from "../../reward/reward.ts";
import type { TrainConfig } from "../../train/config.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { beginRun } from "../../train/open_run.ts";
import type { PpoRun } from "../../train/ppo.ts";
import { Rng } from "../../train/rng.ts";

/** The sizes of a GPT-2 and of the work that it does. */
export interface Workload {
  layers: number;
  width: number;
  heads: number;
  vocabulary: number;
  /** Tokens of every prompt. */
  prompt: number;
  /** Tokens of every response: none ends before. */
  response: number;
  batchSize: number;
  miniBatchSize: number;
  epochs: number;
}

/** A PPO run on a policy with random parameters, whose every step does the same work. */
export interface RandomRun {
  run: PpoRun;
  /** One batch; texts are token ids in decimal. */
  prompts: string[];
}

/** Scores that cost nothing and vary. */
const REWARD: Reward = {
  name: "first token",
  score: (samples) => samples.map(({ response }) => Number(response.split(" ")[0]) % 7),
};

/** Makes models, optimizer and the rest at random, without any file; `resources` frees them. */
export function randomRun(
  gpu: Gpu,
  resources: DisposableStack,
  workload: Workload,
  settings: Partial<TrainConfig> = {},
): RandomRun {
  const { prompt, response, batchSize, miniBatchSize, epochs } = workload;
  const rng = new Rng(1, "random run");
  const { policy, reference } = randomModels(gpu, resources, workload, rng);
  const config = resolveConfig({
    flags: {
      batchSize,
      miniBatchSize,
      epochs,
      maxLength: prompt + response,
      maxNewTokens: response,
      minNewTokens: response,
      ...settings,
    },
  });
  const run = beginRun(resources, { policy, reference, reward: REWARD, config });
  const prompts = Array.from(
    { length: batchSize },
    () =>
      Array.from({ length: prompt }, () => 1 + Math.floor(rng.next() * (workload.vocabulary - 1)))
        .join(" "),
  );
  return { run, prompts };
}

/** Two models with the same random parameters, of which the first can be trained. */
function randomModels(
  gpu: Gpu,
  resources: DisposableStack,
  workload: Workload,
  rng: Rng,
): Pick<PpoRun, "policy" | "reference"> {
  const config = configOf(workload);
  const tokenizer = numberCodec(workload.vocabulary);
  const policy = resources.use(
    new CausalLM(gpu, { config, tokenizer, train: true, valueHead: true }),
  );
  const reference = resources.use(new CausalLM(gpu, { config, tokenizer }));
  // Numbers are drawn once and repeated: 124 million normal ones would take longer than the step.
  const drawn = Float32Array.from({ length: 65_521 }, () => rng.normal());
  let next = 0;
  const normal = () => drawn[next++ % drawn.length]!;
  const { specs } = reference.layout;
  initialiseParameters(gpu, { values: policy.values, specs, config, normal });
  for (const { name, shape } of specs) {
    const pass = gpu.record("copy"); // a submit each, which bounds what the host holds
    const [from, to] = [policy, reference].map(({ values }) =>
      values.get(name).view([sizeOf(shape)])
    );
    pass.copy(from!, to!);
    pass.submit();
  }
  return { policy, reference };
}

/** The GPT-2 of a workload. */
export function configOf(
  { layers, width, heads, vocabulary, prompt, response }: Workload,
): Gpt2Config {
  return {
    modelType: "gpt2",
    vocabSize: vocabulary,
    nPositions: Math.max(1024, prompt + response),
    nEmbd: width,
    nLayer: layers,
    nHead: heads,
    nInner: 4 * width,
    layerNormEpsilon: 1e-5,
    activation: "gelu_new",
    tieWordEmbeddings: true,
    bosTokenId: 0,
    eosTokenId: 0,
    initializerRange: 0.02,
  };
}

/** Texts are token ids in decimal, with spaces between; 0 ends a text. */
function numberCodec(vocabSize: number): TextCodec {
  return {
    encode: (text) => text === "" ? [] : text.split(" ").map(Number),
    decode: (ids) => Array.from(ids).join(" "),
    vocabSize,
    eosId: 0,
    bosId: 0,
    specialTokens: [],
    files: {},
  };
}
