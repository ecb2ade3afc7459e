import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { CausalLM } from "../../model/causal_lm.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import type { Sample } from "../../reward/reward.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { scoreRollout } from "../../train/experience.ts";
import { KlDivergenceController } from "../../train/kl_controller.ts";
import { AdamW } from "../../train/optimizer.ts";
import { advantagesOf, ppoStep, updatePolicy } from "../../train/ppo.ts";
import { Rng } from "../../train/rng.ts";
import { makeRollout, type Rollout } from "../../train/rollout.ts";
import { ScoreNormaliser } from "../../train/score_normaliser.ts";
import { whiten } from "../../train/whiten.ts";
import { assertClose } from "../helpers/close.ts";
import { golden, goldenTensors, GPT2, tensorsAsStored } from "../helpers/goldens.ts";
import { withFolder } from "../helpers/folder.ts";
import { withGpu } from "../helpers/gpu.ts";

/** What ppo.json holds: one batch and four full-batch epochs of a PyTorch PPO. */
interface PpoGolden {
  input_ids: number[][];
  attention_mask: number[][];
  query_length: number;
  response_mask: number[][];
  temperature: number;
  scores: number[];
  beta: number;
  learning_rate: number;
  entropy_coef: number;
  old_logprobs: number[][];
  ref_logprobs: number[][];
  old_values: number[][];
  kl_full: number[][];
  rewards: number[][];
  advantages: number[][];
  whitened: number[][];
  returns: number[][];
  epochs: Record<string, number>[];
}

const ppo = await golden<PpoGolden>("ppo");
const mask = ppo.response_mask;

/** The golden's batch as a rollout. */
function goldenRollout(): Rollout {
  const responseLengths = mask.map((row) => row.reduce((a, b) => a + b, 0));
  const Q = ppo.query_length;
  return {
    samples: ppo.input_ids.map(() => ({ prompt: "", response: "", text: "", ended: false })),
    inputIds: ppo.input_ids,
    attentionMask: ppo.attention_mask,
    mask,
    Q,
    R: ppo.input_ids[0].length - Q,
    queryLengths: ppo.attention_mask.map((row) => row.slice(0, Q).reduce((a, b) => a + b, 0)),
    responseLengths,
    ended: mask.map(() => false),
  };
}

/** Policy and reference as they were before the golden's update. */
async function withModels(
  gpu: Gpu,
  test: (models: { policy: CausalLM; reference: CausalLM }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
      await Deno.copyFile(`${GPT2}/${name}`, `${folder}/${name}`);
    }
    await Deno.copyFile(`${GPT2}/ppo_before.safetensors`, `${folder}/model.safetensors`);
    using policy = await loadCausalLM(gpu, folder, { train: true, valueHead: true });
    using reference = await loadCausalLM(gpu, GPT2);
    await test({ policy, reference });
  });
}

const settings = {
  batchSize: 4,
  miniBatchSize: 4,
  temperature: ppo.temperature,
  learningRate: ppo.learning_rate,
  entropyCoef: ppo.entropy_coef,
  klMode: "reward",
  klCoef: ppo.beta,
  klController: "fixed",
};

const inside = (rows: number[][]) =>
  rows.flatMap((row, b) => row.filter((_, t) => mask[b][t] === 1));

Deno.test("a whole PPO update agrees with PyTorch: scores, advantages, gradients, parameters", () =>
  withGpu((gpu) =>
    withModels(gpu, async ({ policy, reference }) => {
      const config = resolveConfig({ flags: { model: GPT2, ...settings } });
      const rollout = goldenRollout();
      const experience = await scoreRollout({ policy, reference }, rollout, config);
      const nats = { atol: 1e-4 }; // float32 through three layers and 512 logits, on both sides
      assertClose(inside(experience.logprobs), inside(ppo.old_logprobs), nats, "logprobs");
      assertClose(inside(experience.refLogprobs), inside(ppo.ref_logprobs), nats, "refLogprobs");
      assertClose(inside(experience.values), inside(ppo.old_values), nats, "values");
      assertClose(inside(experience.klFull), inside(ppo.kl_full), { atol: 1e-5, rtol: 1e-4 }, "kl");

      const controller = new KlDivergenceController({
        kind: "fixed",
        initialCoef: ppo.beta,
        target: 1,
      });
      const estimates = advantagesOf({ config, controller }, rollout, experience, ppo.scores);
      assertClose(inside(estimates.rewards), inside(ppo.rewards), nats, "rewards");
      assertClose(inside(estimates.advantages), inside(ppo.advantages), nats, "advantages");
      assertClose(inside(estimates.returns), inside(ppo.returns), nats, "returns");
      assertClose(
        inside(whiten(estimates.advantages, mask)),
        inside(ppo.whitened),
        nats,
        "whitened",
      );

      using optimizer = new AdamW(gpu, policy.trained.layout);
      const run = { policy, reference, optimizer, config, rng: new Rng(1) };
      const batch = { rollout, experience, ...estimates };
      const epoch = { ...run, config: { ...config, epochs: 1 } };
      const updates = [];
      for (const _ of ppo.epochs) {
        const [update] = await updatePolicy(epoch, batch, {
          beta: ppo.beta,
          learningRate: config.learningRate,
        });
        updates.push(update);
        if (updates.length > 1) continue;
        const gradients = await tensorsAsStored(gpu, policy.grads!);
        for (const [name, expected] of await goldenTensors("ppo_gradients")) {
          const gradient = gradients.get(name)!;
          const largest = expected.reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
          // Advantages are whitened differences of float32 scores: 1e-3, and 1e-4 of the largest.
          assertClose(gradient, expected, { atol: 1e-4 * largest + 1e-7, rtol: 1e-3 }, name);
        }
      }
      updates.forEach((update, index) => {
        const expected = ppo.epochs[index];
        const compare = (actual: number, name: string, tolerance = 1e-4) =>
          assertClose(
            [actual],
            [expected[name]],
            { atol: tolerance, rtol: 2e-3 },
            `${index} ${name}`,
          );
        compare(update.policyLoss, "policy_loss");
        compare(update.valueLoss, "value_loss");
        compare(update.entropy, "entropy");
        compare(update.approxKl, "approx_kl");
        compare(update.ratioMean, "ratio");
        compare(update.clipFraction, "clip_fraction");
        compare(update.totalLoss, "loss");
        compare(update.gradNorm, "grad_norm", 5e-4);
      });
      const after = await tensorsAsStored(gpu, policy.values);
      for (const [name, expected] of await goldenTensors("ppo_after")) {
        // Four Adam steps of 3e-4; where a gradient is near 0 its sign, and so the step, may differ. The bias
        // of attention's keys has none but rounding, since softmax ignores what all scores share.
        const actual = after.get(name)!;
        const { nEmbd: C } = policy.config;
        const isKeyBias = (i: number) => name.endsWith("c_attn.bias") && i >= C && i < 2 * C;
        const far = actual.filter((x, i) => Math.abs(x - expected[i]) > 2e-5 && !isKeyBias(i));
        const most = Math.ceil(actual.length * 0.005);
        assertEquals(far.length <= most, true, `${name}: ${far.length} elements differ`);
        assertClose(actual, expected, { atol: 4 * 2 * 3e-4 }, name);
      }
    })
  ));

for (
  const [name, options] of Object.entries({
    "the exact KL in the loss": { klMode: "loss" },
    "k2 in the loss": { klMode: "loss", klEstimator: "k2" },
    "k1 in the reward": { klMode: "reward", klEstimator: "k1" },
    "minibatches and accumulation": { miniBatchSize: 2, gradientAccumulation: 2 },
  })
) {
  Deno.test(`with learning rate 0 the ratio stays 1: ${name}`, () =>
    withGpu((gpu) =>
      withModels(gpu, async ({ policy, reference }) => {
        const config = resolveConfig({
          flags: { model: GPT2, ...settings, ...options, learningRate: 0, maxNewTokens: 12 },
        });
        using optimizer = new AdamW(gpu, policy.trained.layout, { weightDecay: 0 });
        const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
        const reward = {
          name: "length",
          score: (samples: readonly Sample[]) => samples.map(({ response }) => response.length),
        };
        const models = { policy, reference, reward, optimizer, controller };
        const scoreNormaliser = new ScoreNormaliser();
        const run = { ...models, scoreNormaliser, config, rng: new Rng(1) };
        const prompts = ["the movie", "hopefully, this picture will", "a", "it is"];
        const { updates } = await ppoStep(run, prompts, { step: 0, learningRate: 0 });
        assertEquals(updates.length, config.epochs * 4 / config.miniBatchSize);
        for (const { logRatioMax, gradNorm, skipped } of updates) {
          // The same kernels on the same shapes give the same bits; the bound is the promise made.
          assertEquals(logRatioMax <= 1e-5, true, `largest |log ratio| is ${logRatioMax}`);
          assertEquals(gradNorm > 0 && !skipped, true);
        }
      })
    ));
}

Deno.test("gradient accumulation gives the update of the whole minibatch", () =>
  withGpu((gpu) =>
    withModels(gpu, async ({ policy, reference }) => {
      const config = resolveConfig({
        flags: { model: GPT2, ...settings, klMode: "loss", epochs: 1 },
      });
      const rollout = goldenRollout();
      const experience = await scoreRollout({ policy, reference }, rollout, config);
      const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
      const estimates = advantagesOf({ config, controller }, rollout, experience, ppo.scores);
      const gradients: Float32Array[] = [];
      for (const gradientAccumulation of [1, 2, 4]) {
        using optimizer = new AdamW(gpu, policy.trained.layout);
        const run = { policy, reference, optimizer, rng: new Rng(1) };
        const parts = { ...config, gradientAccumulation };
        const batch = { rollout, experience, ...estimates };
        await updatePolicy({ ...run, config: parts }, batch, { beta: 0.2, learningRate: 0 });
        gradients.push(await gpu.read(policy.grads!.chunks[0]));
      }
      const largest = gradients[0].reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
      for (const gradient of gradients.slice(1)) {
        assertClose(gradient, gradients[0], { atol: 1e-5 * largest, rtol: 1e-4 }); // other sums
      }
    })
  ));

Deno.test("the reference's logits are the same bits whether scoring kept them or not", () =>
  withGpu((gpu) =>
    withModels(gpu, async ({ policy, reference }) => {
      const flags = {
        model: GPT2,
        ...settings,
        klMode: "loss",
        epochs: 1,
        gradientAccumulation: 2,
      };
      const config = resolveConfig({ flags });
      const rollout = goldenRollout();
      const experience = await scoreRollout({ policy, reference }, rollout, config);
      const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
      const estimates = advantagesOf({ config, controller }, rollout, experience, ppo.scores);
      const { hidden, lse, logits } = experience.reference;
      assertEquals(logits?.columnCount, policy.config.vocabSize);
      // The gradient of the KL is 0 where both are equal, so the policy takes a step first.
      const learningRates = [0.1, 0, 0];
      const gradients: Float32Array[] = [];
      for (const [index, learningRate] of learningRates.entries()) {
        using optimizer = new AdamW(gpu, policy.trained.layout);
        const kept = index < 2 ? experience.reference : { hidden, lse };
        const batch = { rollout, experience: { ...experience, reference: kept }, ...estimates };
        const run = { policy, reference, optimizer, config, rng: new Rng(1) };
        await updatePolicy(run, batch, { beta: 0.2, learningRate });
        gradients.push(await gpu.read(policy.grads!.chunks[0]));
      }
      assertEquals(gradients[1], gradients[2]);
    })
  ));

Deno.test("a forward pass kept by scoring gives the update the same bits as one of its own", () =>
  withGpu((gpu) =>
    withModels(gpu, async ({ policy, reference }) => {
      const flags = { model: GPT2, ...settings, klMode: "loss", learningRate: 1e-3 };
      const config = resolveConfig({ flags });
      const rollout = goldenRollout();
      const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
      const before = await Promise.all(policy.values.chunks.map((chunk) => gpu.read(chunk)));
      const updateFrom = async (keepForward: boolean) => {
        before.forEach((numbers, index) => gpu.write(policy.values.chunks[index], numbers));
        const options = { ...config, keepForward };
        const experience = await scoreRollout({ policy, reference }, rollout, options);
        assertEquals(experience.forward !== undefined, keepForward);
        const estimates = advantagesOf({ config, controller }, rollout, experience, ppo.scores);
        using optimizer = new AdamW(gpu, policy.trained.layout);
        const run = { policy, reference, optimizer, config, rng: new Rng(1) };
        const already = gpu.counts.dispatches;
        const updates = await updatePolicy(run, { rollout, experience, ...estimates }, {
          beta: 0.2,
          learningRate: 1e-3,
        });
        const dispatches = gpu.counts.dispatches - already;
        return { updates, dispatches, after: await gpu.read(policy.values.chunks[0]) };
      };
      const [own, kept] = [await updateFrom(false), await updateFrom(true)];
      assertEquals(kept.updates, own.updates);
      assertEquals(kept.after, own.after);
      assert(kept.dispatches < own.dispatches, `${kept.dispatches} of ${own.dispatches}`);
      assertNotEquals(kept.after, before[0]);
    })
  ));

Deno.test("a score that is NaN changes neither parameters nor moments", () =>
  withGpu((gpu) =>
    withModels(gpu, async ({ policy, reference }) => {
      const config = resolveConfig({ flags: { model: GPT2, ...settings, epochs: 1 } });
      const rollout = goldenRollout();
      const experience = await scoreRollout({ policy, reference }, rollout, config);
      const controller = new KlDivergenceController({ initialCoef: 0.2, target: 0.01 });
      using optimizer = new AdamW(gpu, policy.trained.layout);
      const run = { policy, reference, optimizer, config, rng: new Rng(1) };
      const before = await gpu.read(policy.values.chunks[0]);
      const step = async (scores: number[]) => {
        const estimates = advantagesOf({ config, controller }, rollout, experience, scores);
        const batch = { rollout, experience, ...estimates };
        return (await updatePolicy(run, batch, { beta: 0.2, learningRate: 1e-3 }))[0];
      };
      assertEquals((await step([NaN, 1, 1, 1])).skipped, true);
      assertEquals(await gpu.read(policy.values.chunks[0]), before);
      assertEquals((await step(ppo.scores)).skipped, false);
      const changed = (await gpu.read(policy.values.chunks[0])).filter((x, i) => x !== before[i]);
      assertEquals(changed.length > 0, true);
    })
  ));

Deno.test("makeRollout() pads prompts on the left and responses on the right", () => {
  const rollout = makeRollout({
    promptIds: [[1, 2, 3], [4]],
    responseIds: [[5], [6, 7]],
    ended: [true, false],
    samples: [],
  }, 0);
  assertEquals(rollout.inputIds, [[1, 2, 3, 5, 0], [0, 0, 4, 6, 7]]);
  assertEquals(rollout.attentionMask, [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]);
  assertEquals(rollout.mask, [[1, 0], [1, 1]]);
});
