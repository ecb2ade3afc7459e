import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import type { SequenceClassifier } from "../../model/sequence_classifier.ts";
import { loadSequenceClassifier } from "../../model/sequence_classifier_weights.ts";
import type { RewardExample } from "../../train/reward_data.ts";
import {
  LabelObjective,
  PairObjective,
  type RewardObjective,
} from "../../train/reward_objectives.ts";
import { RewardTrainer, type RewardTrainerOptions } from "../../train/reward_trainer.ts";
import { Rng } from "../../train/rng.ts";
import {
  assertGradients,
  classifierGolden,
  DISTILBERT,
  parameterBits,
} from "../helpers/classifiers.ts";
import { assertClose } from "../helpers/close.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { toyLabels, toyPairs } from "../helpers/toy_rewards.ts";

const NAMES = { prefix: "distilbert.", heads: /^(pre_)?classifier\./ };

/** The golden texts with their labels. */
async function goldenExamples(): Promise<RewardExample[]> {
  const { ids, labels } = await classifierGolden(DISTILBERT);
  return ids.map((row, i) => ({ rows: [row], label: labels[i], weight: 1, source: "" }));
}

/** The tiny model of a folder with a fresh head for one score, larger than usual by `scale`. */
function scorer(gpu: Gpu, folder: string, scale = 1): Promise<SequenceClassifier> {
  const rng = new Rng(3);
  const normal = () => scale * rng.normal();
  return loadSequenceClassifier(gpu, folder, { train: true, labels: ["score"], normal });
}

function options(
  objective: RewardObjective,
  others: Partial<RewardTrainerOptions> = {},
): RewardTrainerOptions {
  return { objective, learningRate: () => 0, ...others };
}

Deno.test("step() has PyTorch's loss and gradients, in one batch and in parts", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT, { train: true });
    const examples = await goldenExamples();
    const golden = await classifierGolden(DISTILBERT);
    for (const gradientAccumulation of [1, 3]) { // of eight texts: 3, 3, 2
      using trainer = new RewardTrainer(
        model,
        options(new LabelObjective(), { gradientAccumulation }),
      );
      trainer.step(examples);
      const { loss, gradNorm } = await trainer.report();
      assertClose([loss], [golden.cross_entropy], { atol: 2e-6 }); // two layers in float32
      assert(gradNorm > 0);
      // Gradients are up to 0.3 and add up over 200 tokens in another order.
      await assertGradients(model, {
        path: `${DISTILBERT}/gradients.safetensors`,
        names: NAMES,
        tolerance: { atol: 2e-7, rtol: 1e-4 },
      });
    }
  }));

Deno.test("evaluate() agrees with the step's loss and with classify()", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT, { train: true });
    using trainer = new RewardTrainer(model, options(new LabelObjective({ labelSmoothing: 0.1 })));
    const examples = (await goldenExamples())
      .map((example, i) => ({ ...example, source: i < 3 ? "first" : "" }));
    const { texts, cross_entropy, labels } = await classifierGolden(DISTILBERT);
    const evaluation = await trainer.evaluate(examples);

    const results = await model.classify(texts);
    const right = results.map(({ label }, i) => label === model.labels[labels[i]]);
    const share = (marks: boolean[]) => marks.filter((mark) => mark).length / marks.length;
    assertClose([evaluation.loss], [cross_entropy], { atol: 2e-6 });
    assertEquals(evaluation.accuracy, share(right));
    assertEquals(evaluation.sources, [
      { source: "", accuracy: share(right.slice(3)), count: 5 },
      { source: "first", accuracy: share(right.slice(0, 3)), count: 3 },
    ]);
    assertEquals([evaluation.count, evaluation.margins], [8, undefined]);
  }));

Deno.test("an example's weight is a factor of its gradient", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT, { train: true });
    const [one, two] = await goldenExamples();
    const gradient = async (...examples: RewardExample[]) => {
      using trainer = new RewardTrainer(model, options(new LabelObjective()));
      trainer.step(examples);
      return await gpu.read(model.grads!.chunks[0]);
    };
    const alone = await gradient(one);
    // The mean is over the examples of the batch, whatever they weigh.
    const weighted = await gradient({ ...one, weight: 0.5 }, { ...two, weight: 0 });
    assertClose(weighted, alone.map((g) => g / 4), { atol: 1e-9, rtol: 1e-5 }); // other tiles
  }));

for (const [name, folder] of [["DistilBERT", DISTILBERT], ["GPT-2", GPT2]]) {
  Deno.test(`the gradient of pairs is the slope of their loss: ${name}`, () =>
    withGpu(async (gpu) => {
      using model = await scorer(gpu, folder, 10); // a head near 0 leaves the loss all curve, no slope
      using trainer = new RewardTrainer(model, options(new PairObjective()));
      const pairs = toyPairs(6, 1);
      const before = await trainer.evaluate(pairs);
      trainer.step(pairs);
      assertClose([(await trainer.report()).loss], [before.loss], { atol: 1e-6 });

      // Along the gradient the loss rises by the way times the gradient's norm; half of it on each side.
      const rise = 1e-3;
      const gradients = await Promise.all(model.grads!.chunks.map((chunk) => gpu.read(chunk)));
      const square = gradients.flatMap((g) => [...g]).reduce((sum, x) => sum + x * x, 0);
      const values = await Promise.all(model.values.chunks.map((chunk) => gpu.read(chunk)));
      const lossAt = async (way: number) => {
        for (const [i, chunk] of model.values.chunks.entries()) {
          const moved = values[i].map((value, n) => value + way * gradients[i][n]);
          gpu.write(chunk, moved);
        }
        return (await trainer.evaluate(pairs)).loss;
      };
      const [above, below] = [await lossAt(rise / 2 / square), await lossAt(-rise / 2 / square)];
      // Losses near 0.7 round at 1e-7 and more; on this way the curve is 3e-4 of the rise.
      assertClose([above - below], [rise], { atol: 5e-3 * rise });
    }));

  Deno.test(`pairs are learned: ${name}`, () =>
    withGpu(async (gpu) => {
      using model = await scorer(gpu, folder);
      using trainer = new RewardTrainer(
        model,
        options(new PairObjective({ centring: 0.01 }), { learningRate: () => 3e-3 }),
      );
      for (let step = 0; step < 25; step++) trainer.step(toyPairs(16, step));
      const { accuracy, margins } = await trainer.evaluate(toyPairs(50, 99));
      assert(accuracy >= 0.9, `accuracy ${accuracy}`);
      const { mean, std, min, max } = margins!;
      assert(min <= mean && mean <= max && mean > 0.5 && std > 0, `${mean} ${std} ${min} ${max}`);
    }));
}

Deno.test("labels are learned, and the same steps give the same bits", () =>
  withGpu(async (gpu) => {
    const runs = [];
    for (let run = 0; run < 2; run++) {
      using model = await loadSequenceClassifier(gpu, DISTILBERT, { train: true });
      using trainer = new RewardTrainer(
        model,
        options(new LabelObjective({ labelSmoothing: 0.05 }), { learningRate: () => 3e-3 }),
      );
      const untrained = await trainer.evaluate(toyLabels(100, 99));
      assert(untrained.accuracy < 0.7);
      for (let step = 0; step < 25; step++) trainer.step(toyLabels(32, step));
      const { loss } = await trainer.report();
      const { accuracy } = await trainer.evaluate(toyLabels(100, 99));
      assert(accuracy >= 0.95, `accuracy ${accuracy}`);
      runs.push([loss, accuracy, await parameterBits(model)]);
    }
    assertEquals(runs[0], runs[1]);
  }));

Deno.test("report() is of the steps since the last one", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT, { train: true });
    using trainer = new RewardTrainer(model, options(new LabelObjective()));
    const [a, b] = [toyLabels(4, 1), toyLabels(12, 2)];
    const lossOf = async (...batches: RewardExample[][]) => {
      for (const batch of batches) trainer.step(batch);
      return (await trainer.report()).loss;
    };
    const [ofA, ofB, ofBoth] = [await lossOf(a), await lossOf(b), await lossOf(a, b)];
    assertNotEquals(ofA, ofB);
    assertClose([ofBoth], [(4 * ofA + 12 * ofB) / 16], { atol: 1e-6 }); // a sum of 16 losses in f32
    assertEquals(trainer.steps, 4);
  }));

Deno.test("a frozen model is refused", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT);
    assertThrows(
      () => new RewardTrainer(model, options(new LabelObjective())),
      TypeError,
      "frozen",
    );
  }));
