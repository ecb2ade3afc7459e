import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { earlyStopping, learningRateScheduler, terminateOnNaN } from "../../train/control.ts";
import { csvLogger, tensorBoard } from "../../train/loggers.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { withFolder } from "../helpers/folder.ts";
import { withGpu } from "../helpers/gpu.ts";

const SETTINGS = {
  model: "tests/fixtures/gpt2",
  reward: {
    name: "length",
    score: (samples: readonly { response: string }[]) => samples.map((s) => s.response.length),
  },
  steps: 3,
  batchSize: 2,
  miniBatchSize: 2,
  epochs: 1,
  maxNewTokens: 4,
  maxLength: 16,
};

Deno.test("csvLogger() and tensorBoard() keep every step, and csvLogger() goes on where a run goes on", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
      const csv = join(folder, "metrics.csv");
      const callbacks = [csvLogger(csv), tensorBoard(join(folder, "tb"), { textEvery: 1 })];
      await trainer.train({ steps: 2, callbacks });
      await Deno.writeTextFile(csv, "9,half a li", { append: true }); // as a killed program leaves it
      await trainer.train({ steps: 1, callbacks });
      const [head, ...rows] = (await Deno.readTextFile(csv)).trim().split("\n").map((line) =>
        line.split(",")
      );
      assertEquals(rows.map((row) => row[head.indexOf("step")]), ["1", "2", "3"]);
      assert(rows.every((row) => row.length === head.length));
      const files = [...Deno.readDirSync(join(folder, "tb"))].map(({ name }) => name);
      assertEquals(files.length, 2);
      assert(
        files.every((name) => /^events\.out\.tfevents\.\d+\.\d{6}\./.test(name)),
        files.join(),
      );
    })
  ));

Deno.test("samples have tokens whose texts are the response, with their KL and advantage", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
    const { samples, advantages } = await trainer.trainStep(["the movie", "a film"]);
    assertEquals(samples[0].tokens!.map(({ kl }) => kl), samples[0].tokens!.map(() => 0)); // policy = reference
    const tokens = samples.flatMap((sample) => sample.tokens!);
    assertEquals(tokens.map(({ advantage }) => advantage), advantages);
  }));

Deno.test("earlyStopping() stops after `patience` steps without an improvement", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({ ...SETTINGS, gpu, learningRate: 0 });
    const callbacks = [earlyStopping({ monitor: "ppo/learning_rate", patience: 2 })];
    await trainer.train({ steps: 9, callbacks });
    assertEquals(trainer.steps, 3); // the first sets the mark, the next two do not pass it
  }));

Deno.test("learningRateScheduler() sets the rate of every step", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({ ...SETTINGS, gpu, learningRate: 0.5 });
    const rates: number[] = [];
    await trainer.train({
      steps: 2,
      callbacks: [
        learningRateScheduler((step, rate) => rate / (1000 * step)),
        { onStepEnd: (_, { metrics }) => void rates.push(metrics["ppo/learning_rate"]) },
      ],
    });
    assertEquals(rates, [0.0005, 0.00025]);
  }));

Deno.test("terminateOnNaN() stops after the first step whose gradient was not finite", () =>
  withGpu(async (gpu) => {
    let calls = 0;
    // Finite as scores must be, but the square of the third is more than an f32 holds.
    const reward = {
      name: "huge",
      score: (
        samples: readonly unknown[],
      ) => (calls++, samples.map((_, i) => calls < 3 ? i : 1e30)),
    };
    using trainer = await PpoTrainer.create({ ...SETTINGS, reward, gpu, guard: false });
    await trainer.train({ steps: 9, callbacks: [terminateOnNaN()] });
    assertEquals(trainer.steps, 3);
  }));
