import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Gpu, GpuMemoryError } from "../../kernels/runtime/mod.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { TokenRowsError } from "../../model/token_batch.ts";
import { type Reward, RewardError, type Sample } from "../../reward/reward.ts";
import {
  checkpointEvery,
  progress,
  showSample,
  type TrainerCallback,
} from "../../train/callbacks.ts";
import { ConfigError } from "../../train/config.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { PromptBatches } from "../../train/prompts.ts";
import { learningRateAt } from "../../train/schedule.ts";
import { assertClose } from "../helpers/close.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const PROMPTS = ["the movie", "hopefully, this picture will", "a", "it is"];

/** Likes the letter e. */
const LETTERS = {
  name: "letters",
  score: (samples: readonly { response: string }[]) =>
    samples.map(({ response }) => response.split("e").length - 1),
};

/** Runs a test on a trainer of the tiny GPT-2, with small batches. */
function withTrainer(
  options: PpoTrainerOptions,
  test: (trainer: PpoTrainer) => Promise<void>,
): Promise<void> {
  return withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({
      gpu,
      model: GPT2,
      reward: LETTERS,
      batchSize: 4,
      miniBatchSize: 2,
      epochs: 1,
      maxNewTokens: 6,
      learningRate: 1e-3,
      ...options,
    });
    await test(trainer);
  });
}

function parameters({ gpu, policy }: PpoTrainer): Promise<Float32Array> {
  return gpu.read(policy.values.chunks[0]);
}

Deno.test("train() tells its callbacks of every turning point, in order, and waits for them", () =>
  withFolder((folder) =>
    withTrainer({ steps: 3 }, async (trainer) => {
      const events: string[] = [];
      const lines: string[] = [];
      const note = async (event: string) => {
        await Promise.resolve();
        events.push(event);
      };
      const recorder: TrainerCallback = {
        onTrainBegin: (_, { steps }) => note(`train begins, ${steps} steps`),
        onStepBegin: (_, step) => note(`step ${step} begins`),
        onStepEnd: (_, { metrics, samples }) => note(`step ${metrics.step} of ${samples.length}`),
        onTrainEnd: ({ steps }) => note(`train ends after ${steps}`),
        onEvaluateBegin: () => note("evaluation begins"),
        onEvaluateEnd: (_, { samples }) => note(`evaluation of ${samples.length}`),
        onCheckpoint: (_, path) => note(`checkpoint ${path.slice(folder.length)}`),
      };
      const write = (line: string) => void lines.push(line);
      const callbacks = [
        recorder,
        checkpointEvery(2, (step) => `${folder}/${step}`),
        progress(write),
        showSample(2, write),
      ];
      await trainer.train({ steps: 2, prompts: PROMPTS, callbacks });
      await trainer.evaluate(PROMPTS.slice(1));
      await trainer.save(`${folder}/last`);
      assertEquals(events, [
        "train begins, 2 steps",
        "step 1 begins",
        "step 1 of 4",
        "step 2 begins",
        "step 2 of 4",
        "checkpoint /2",
        "train ends after 2",
        "evaluation begins",
        "evaluation of 3",
        "checkpoint /last",
      ]);
      assertMatch(
        lines[1],
        /^step 2\/2 \| reward +\S+ \| kl \S+ \| beta \S+ \| entropy \S+ \| loss +\S+ \| +\d+ tok\/s \| +\d+ ms$/,
      );
      assertMatch(lines[2], /^ +prompt +response +reward$/);
      assertMatch(lines[3], /^ +(the movie|hopefully|a|it is) .* -?\d+\.\d\d$/);
      using saved = await loadCausalLM(trainer.gpu, `${folder}/2`, { valueHead: true });
      assertEquals(await trainer.gpu.read(saved.values.chunks[0]), await parameters(trainer));
    })
  ));

Deno.test("trainStep() is a step of a loop of one's own", () =>
  withTrainer({}, async (trainer) => {
    const { gpu, run: { reference } } = trainer;
    const before = await parameters(trainer);
    const frozen = await gpu.read(reference.values.chunks[0]);
    for (const step of [1, 2]) {
      const { metrics, samples } = await trainer.trainStep(PROMPTS);
      assertEquals(metrics.step, step);
      assertEquals(metrics.episode, 4 * step);
      assertEquals(samples.map(({ prompt }) => prompt), PROMPTS);
      const scores = LETTERS.score(samples);
      assertEquals(samples.map(({ score }) => score), scores);
      assertEquals(metrics["ppo/mean_scores"], scores.reduce((a, b) => a + b) / 4);
      assert(samples.every((sample) => sample.step === step && Number.isFinite(sample.kl)));
    }
    const after = await parameters(trainer);
    assert(after.some((x, i) => x !== before[i]), "the policy has not moved");
    assertEquals(await gpu.read(reference.values.chunks[0]), frozen);
  }));

Deno.test("evaluate() repeats itself, changes nothing, and measures the distance from the start", () =>
  withTrainer({ minNewTokens: 6 }, async (trainer) => {
    const start = await trainer.evaluate(PROMPTS, { responses: 6 });
    assertEquals(start.kl, 0); // the same numbers through the same kernels
    assertEquals(start.samples.map(({ prompt }) => prompt), [...PROMPTS, ...PROMPTS.slice(0, 2)]);
    assertEquals(start.meanLength, 6);
    for (const { tokens, score } of start.samples) {
      // The value head begins at 0, so that the last token gains the whole score and those before it a share.
      const gains = tokens!.map(({ advantage }) => advantage!);
      assertClose(gains, gains.map((_, t) => score * 0.95 ** (gains.length - 1 - t)), {
        atol: 1e-9,
      });
    }
    const { samples: [sample] } = await trainer.evaluateReference(PROMPTS);
    assert(sample.tokens!.every((token) => !("advantage" in token)), "the reference has no values");
    assertEquals(await trainer.evaluate(PROMPTS, { responses: 6 }), start);
    assertEquals([trainer.steps, trainer.episodes], [0, 0]);
    await trainer.trainStep(PROMPTS);
    const moved = await trainer.evaluate(PROMPTS);
    assert(moved.kl > 0);
    assertEquals(moved.samples.length, 4);
  }));

Deno.test("trainStep() shows the reward each prompt, response and both as they read", () => {
  const seen: Sample[] = [];
  const reward: Reward = {
    name: "looker",
    async score(samples) {
      await Promise.resolve(); // a reward may take its time
      seen.push(...samples);
      return samples.map((_, b) => b);
    },
  };
  return withTrainer({ reward }, async (trainer) => {
    const { samples, metrics } = await trainer.trainStep(PROMPTS);
    assertEquals(seen.map(({ prompt }) => prompt), PROMPTS);
    assertEquals(seen.map(({ response }) => response), samples.map(({ response }) => response));
    for (const { prompt, text } of seen) assert(text.startsWith(prompt), text);
    assertEquals(metrics["ppo/mean_scores"], 1.5);
  });
});

const FAULTY: {
  what: string;
  score: Reward["score"];
  fails: string;
}[] = [
  {
    what: "throws",
    score: () => {
      throw new RangeError("the classifier is out");
    },
    fails: "Cannot use the reward faulty: it failed on 4 samples: the classifier is out",
  },
  {
    what: "rejects",
    score: () => Promise.reject(new RangeError("the classifier is out")),
    fails: "Cannot use the reward faulty: it failed on 4 samples: the classifier is out",
  },
  {
    what: "hangs",
    score: () => new Promise(() => {}),
    fails: "Cannot use the reward faulty: it has not scored 4 samples within 200 ms",
  },
  {
    what: "returns too few scores",
    score: (samples) => samples.slice(1).map(() => 1),
    fails: "Cannot use the reward faulty: it gave 3 scores for 4 samples",
  },
  {
    what: "returns NaN",
    score: (samples) => samples.map((_, b) => b === 2 ? NaN : 1),
    fails: 'Cannot use the reward faulty: the score of sample 2 is NaN for the response "',
  },
];

Deno.test("a reward that fails ends the step and changes nothing", async (t) => {
  const reward: Reward = { name: "faulty", score: LETTERS.score };
  const options = { reward, rewardTimeout: 200, normaliseScores: true, guard: false };
  await withTrainer(options, async (trainer) => {
    const { run } = trainer;
    const callbacks: TrainerCallback[] = [{
      onStepEnd: (_, { samples }) => void batches.push(samples.map(({ prompt }) => prompt)),
    }];
    const batches: string[][] = [];
    const prompts = [...PROMPTS, "the film"];
    const train = () => trainer.train({ steps: 1, prompts, callbacks });
    const state = async () => ({
      parameters: await parameters(trainer),
      controller: run.controller.state(),
      normaliser: run.scoreNormaliser.state(),
      rng: [...run.rng.state],
      counts: [trainer.steps, trainer.episodes],
    });
    await train();
    const before = await state();
    for (const { what, score, fails } of FAULTY) {
      await t.step(what, async () => {
        reward.score = score;
        await assertRejects(() => trainer.trainStep(PROMPTS), RewardError, fails);
        await assertRejects(train, RewardError, fails);
        assertEquals(await state(), before);
      });
    }
    reward.score = LETTERS.score;
    await train(); // and can go on, where it was in its prompts
    assertEquals(trainer.steps, 2);
    const order = new PromptBatches(prompts, { batchSize: 4, seed: trainer.config.seed });
    assertEquals(batches, [order.next(), order.next()]);
  });
});

Deno.test("trainStep() reports scores as given, and what the reward tells beside them", () => {
  const reward: Reward = {
    name: "detailed",
    score: (samples) => ({
      scores: samples.map((_, b) => b),
      parts: {
        ended: samples.map(({ ended }) => Number(ended)),
        twice: samples.map((_, b) => 2 * b),
      },
      source: 1,
    }),
  };
  return withTrainer({ reward, rewardScale: 2, rewardClip: 5 }, async (trainer) => {
    const { metrics, samples } = await trainer.trainStep(PROMPTS);
    assertEquals(samples.map(({ score }) => score), [0, 1, 2, 3]);
    assertEquals([metrics["objective/scores"], metrics["ppo/mean_scores"]], [1.5, 2.75]);
    assertEquals([metrics["rewards/twice/mean"], metrics["rewards/source"]], [3, 1]);
    assertEquals(metrics["rewards/ended/mean"], metrics["val/num_eos_tokens"] / 4);
  });
});

Deno.test("the learning rate follows its schedule, down to the optimizer", () => {
  const schedule = { lrSchedule: "cosine", warmupSteps: 1, steps: 3 } as const;
  return withTrainer(schedule, async (trainer) => {
    const rates: number[] = [];
    const callbacks: TrainerCallback[] = [{
      onStepEnd: (_, { metrics }) => void rates.push(metrics.lr),
    }];
    await trainer.train({ prompts: PROMPTS, callbacks });
    const expected = [0, 1, 2].map((step) =>
      learningRateAt(step, {
        kind: "cosine",
        learningRate: 1e-3,
        totalSteps: 3,
        warmupSteps: 1,
      })
    );
    assertEquals(rates, expected);
    assertEquals(rates.slice(0, 2), [5e-4, 1e-3]);

    const before = await parameters(trainer);
    const { metrics } = await trainer.trainStep(PROMPTS); // the schedule has come to 0
    assertEquals(metrics.lr, 0);
    assert(metrics["ppo/grad_norm"] > 0);
    assertEquals(await parameters(trainer), before);
  });
});

Deno.test("prompts that cannot be used are refused before the first step", () =>
  withTrainer({}, async (trainer) => {
    const begun: TrainerCallback[] = [{
      onTrainBegin: () => {
        throw new Error("training has begun");
      },
    }];
    const long = "the movie was very ".repeat(20);
    for (const prompts of [[...PROMPTS, long], [...PROMPTS, ""], []]) {
      await assertRejects(() => trainer.train({ prompts, callbacks: begun }), TokenRowsError);
      await assertRejects(() => trainer.evaluate(prompts), TokenRowsError);
      await assertRejects(() => trainer.trainStep(prompts), TokenRowsError);
    }
  }));

Deno.test("create() refuses impossible settings, and frees what it loaded when the rest does not fit", async () => {
  await assertRejects(() => PpoTrainer.create({ batchSize: 0 }), ConfigError, "batchSize 0");
  using gpu = await Gpu.open({ byteBudget: 1_500_000 }); // policy and gradients, not the moments too
  await assertRejects(() => PpoTrainer.create({ gpu, model: GPT2 }), GpuMemoryError);
  assertEquals(gpu.liveBytes, 0);
});
