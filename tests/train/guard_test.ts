import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import { type Reward, RewardError } from "../../reward/reward.ts";
import { checkpointEvery, type PpoStats, type TrainerCallback } from "../../train/callbacks.ts";
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { GuardError, type GuardEvent } from "../../train/guard_event.ts";
import { ratioEvidence } from "../../train/guard_ratio.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { sampleRollout } from "../../train/rollout.ts";
import { RunFolder } from "../../train/run_folder.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { recordOf } from "../helpers/runs.ts";

const PROMPTS = ["the movie", "hopefully, this picture will", "a", "it is", "the plot"];

/** Pays for one letter: the shortcut that a policy takes as soon as nothing holds it. */
const LETTERS: Reward = {
  name: "letters",
  score: (samples) => samples.map(({ response }) => response.split("e").length - 1),
};

/** A policy that nothing holds near its reference, at a learning rate a thousand times too high. */
const COLLAPSING: PpoTrainerOptions = {
  model: GPT2,
  reward: LETTERS,
  steps: 12,
  batchSize: 8,
  miniBatchSize: 8,
  epochs: 2,
  maxNewTokens: 8,
  learningRate: 1e-2,
  klController: "fixed",
  klCoef: 0,
  guardWindow: 8,
  guardKl: 0.6, // above what the first six steps reach
};

interface Story {
  /** Of the steps that were not undone, in the order in which they were taken. */
  steps: PpoStats[];
  events: GuardEvent[];
  rollbacks: number;
}

/** Notes what a trainer tells. */
function listener(): TrainerCallback & Story {
  const story: Story = { steps: [], events: [], rollbacks: 0 };
  return Object.assign(story, {
    onStepEnd: (_: PpoTrainer, stats: PpoStats) => void story.steps.push(stats),
    onRollback(trainer: PpoTrainer) {
      story.rollbacks++;
      story.steps = story.steps.filter(({ metrics }) => metrics.step <= trainer.steps);
    },
    onGuardEvent: (_: PpoTrainer, event: GuardEvent) => void story.events.push(event),
  });
}

function kls(steps: readonly PpoStats[]): number[] {
  return steps.map(({ metrics }) => metrics["objective/kl_full"]);
}

/** Everything that a step may change, beside counters. */
async function stateOf({ gpu, run }: PpoTrainer) {
  const { policy, optimizer, controller, scoreNormaliser, rng } = run;
  const tensors = [policy.values, optimizer.m, optimizer.v].flatMap(({ chunks }) => chunks);
  return {
    numbers: await gpu.readAll([...tensors, optimizer.state]),
    controller: controller.state(),
    normaliser: scoreNormaliser.state(),
    rng: [...rng.state],
  };
}

Deno.test("a policy that nothing holds collapses; the guard catches it and the run ends near the reference", (t) =>
  withFolder(async (folder) => {
    await t.step("without the guard", () =>
      withGpu(async (gpu) => {
        const story = listener();
        using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu, guard: false });
        await trainer.train({ prompts: PROMPTS, callbacks: [story] });
        const last = kls(story.steps).at(-1)!;
        assert(last > 2 * COLLAPSING.guardKl!, `KL ${last}`);
        assertEquals(story.events, []);
        assertEquals(story.steps.at(-1)!.metrics["guard/kl"], NaN);
      }));

    await t.step("with it", () =>
      withGpu(async (gpu) => {
        const story = listener();
        using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu });
        const saving = checkpointEvery(3, (step) => `${folder}/${step}`);
        await trainer.train({ prompts: PROMPTS, callbacks: [story, saving] });
        assertEquals(trainer.steps, 12);
        assertEquals(
          story.steps.map(({ metrics }) => metrics.step),
          [...Array(12).keys()].map((i) => i + 1),
        );
        assertEquals(
          Math.max(...kls(story.steps)) <= COLLAPSING.guardKl!,
          true,
          `${kls(story.steps)}`,
        );
        assert(story.rollbacks > 0);
        const [first] = story.events;
        assertEquals([first.rule, first.action], ["kl", "rollback"]);
        assertEquals(first.backTo! < first.step && first.backTo! % 3 === 0, true);
        assert(first.value > first.threshold);
        assertMatch(
          first.message,
          /^the KL to the reference is \S+ nats per token, the limit is 0.6; the run goes back to step \d+, with a KL weight of at least 0.2$/,
        );
        const betas = story.steps.map(({ metrics }) => metrics["objective/kl_coef"]);
        assertEquals([betas[0], betas.at(-1)! >= 0.2], [0, true]); // of a controller that is `fixed`, too
        assertEquals(trainer.run.controller.beta, betas.at(-1));
      }));
  }));

Deno.test("where the guard cannot go back, or has done so often enough, training ends, and says what to do", (t) =>
  withFolder((folder) =>
    withGpu(async (gpu) => {
      await t.step("no checkpoint", async () => {
        const story = listener();
        using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu });
        const train = () => trainer.train({ prompts: PROMPTS, callbacks: [story] });
        const { message, event } = await assertRejects(train, GuardError);
        assertMatch(
          message,
          /^Cannot train on after step \d+: the KL .*; there is no checkpoint to go back to.*; lower learningRate, or raise klCoef, or allow it with guardKl or guardActions kl=warn$/,
        );
        assertEquals(story.events, [event]);
        assertEquals([event.action, event.step], ["stop", story.steps.length]);
      });

      await t.step("no rollback allowed", async () => {
        using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu, guardRollbacks: 0 });
        const callbacks = [checkpointEvery(2, (step) => `${folder}/${step}`)];
        const train = () => trainer.train({ prompts: PROMPTS, callbacks });
        const { message } = await assertRejects(train, GuardError, "the run went back 0 times");
        assertMatch(message, /; the newest checkpoint is .*\/[246]$/);
      });

      await t.step("a weight that no rollback raises enough", async () => {
        const story = listener();
        using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu, klMax: 1e-3 });
        const callbacks = [story, checkpointEvery(1, (step) => `${folder}/more/${step}`)];
        const train = () => trainer.train({ prompts: PROMPTS, callbacks });
        await assertRejects(train, GuardError, "the run went back 3 times already");
        assertEquals(story.rollbacks, 3);
        // The second time to the checkpoint before, since the newest was no help.
        const [first, second, , last] = story.events.map(({ backTo }) => backTo);
        assertEquals([second, last], [first! - 1, undefined]);
      });
    })
  ));

Deno.test("a reward that pays for one letter is caught by what it does to the texts, too", () =>
  withGpu(async (gpu) => {
    const story = listener();
    const options = { ...COLLAPSING, gpu, steps: 30, learningRate: 2e-2, guardKl: 100 };
    using trainer = await PpoTrainer.create(options);
    const train = () => trainer.train({ prompts: PROMPTS, callbacks: [story] });
    const { event } = await assertRejects(train, GuardError);
    assert(
      ["entropy", "distinct", "repetition", "reward_hacking"].includes(event.rule),
      event.rule,
    );
    const scores = story.steps.map(({ metrics }) => metrics["objective/scores"]);
    assert(scores.at(-1)! > scores[0]);
  }));

Deno.test("a warning is given once until it has passed, and changes nothing", () =>
  withGpu(async (gpu) => {
    const train = async (options: PpoTrainerOptions) => {
      const story = listener();
      using trainer = await PpoTrainer.create({ ...COLLAPSING, ...options, gpu, steps: 9 });
      await trainer.train({ prompts: PROMPTS, callbacks: [story] });
      return { ...story, state: await stateOf(trainer) };
    };
    const rest =
      "ratio=warn,entropy=warn,distinct=warn,repetition=warn,length=warn,reward_hacking=warn";
    const warned = await train({ guardActions: `kl=warn,${rest}` });
    const free = await train({ guard: false });
    const kl = warned.events.filter(({ rule }) => rule === "kl");
    assertEquals(kl.map(({ action }) => action), ["warn"]);
    assertEquals(kls(warned.steps).filter((kl) => kl > 0.6).length > 1, true);
    assertEquals(warned.state, free.state);
    const reported = warned.steps.map(({ metrics }) => metrics["guard/events"]);
    assertEquals(reported.reduce((a, b) => a + b), warned.events.length);
  }));

/** Fine, but for the step of a number. */
function failingReward(bad: number, isBad: (step: number) => boolean): Reward & { calls: number } {
  return {
    name: "failing",
    calls: 0,
    score(samples) {
      this.calls++;
      const scores = samples.map(({ response }) => response.length / 10);
      return isBad(this.calls) ? scores.with(2, bad) : scores;
    },
  };
}

const SANE: PpoTrainerOptions = {
  ...COLLAPSING,
  steps: 9,
  learningRate: 1e-4,
  klController: "band",
  klCoef: 0.2,
  normaliseScores: true,
};

Deno.test("scores that are NaN at step 7 cost that step and nothing else", () =>
  withGpu(async (gpu) => {
    const reward = failingReward(NaN, (step) => step === 7);
    const story = listener();
    const states: Awaited<ReturnType<typeof stateOf>>[] = [];
    using trainer = await PpoTrainer.create({ ...SANE, reward, gpu });
    const prompts = new Set<string>();
    const watcher: TrainerCallback = {
      async onStepEnd(trainer, { samples }) {
        states.push(await stateOf(trainer));
        prompts.add(samples.map(({ prompt }) => prompt).join());
      },
    };
    await trainer.train({ prompts: PROMPTS, callbacks: [story, watcher] });
    assertEquals(reward.calls, 9); // the guard itself asks for none
    assertEquals(states[6], states[5]);
    assertNotEquals(states[7], states[6]);
    assertEquals(prompts.size, 9);
    assertEquals(story.events.map(({ step, rule, action }) => [step, rule, action]), [
      [7, "non_finite_reward", "skip"],
    ]);
    assertMatch(
      story.events[0].message,
      /^reward failing: the score of sample 2 is NaN for the response ".*" \(1 of at most 3 such steps in a row\)$/,
    );
    const { metrics, samples } = story.steps[6];
    assertEquals([metrics.step, metrics["guard/events"], metrics["ppo/epochs_done"]], [7, 1, 0]);
    assertEquals(metrics["objective/scores"], NaN);
    assert(Number.isFinite(metrics["objective/kl_full"]));
    assert(samples.every(({ score }) => Number.isNaN(score)));
    assertEquals(story.steps[7].metrics["guard/non_finite_reward"], 0);
  }));

Deno.test("scores that are NaN again and again end the run with what is wrong with them", () =>
  withGpu(async (gpu) => {
    const reward = failingReward(NaN, (step) => step > 2);
    const story = listener();
    using trainer = await PpoTrainer.create({ ...SANE, reward, gpu, guardSkips: 2 });
    const train = () => trainer.train({ prompts: PROMPTS, callbacks: [story] });
    const { message } = await assertRejects(train, RewardError);
    assertMatch(
      message,
      /^Cannot train on after step 5: reward failing: .* NaN .*; repair the reward$/,
    );
    assertEquals(story.events.map(({ action }) => action), ["skip", "skip", "stop"]);
    assertEquals(story.steps.map(({ metrics }) => metrics.step), [1, 2, 3, 4, 5]); // the last, too
    assertEquals(story.steps[4].metrics["guard/events"], 1);
  }));

Deno.test("an update that is not finite leaves parameters, moments and counters as they are", () =>
  withGpu(async (gpu) => {
    // A number for the host, but none for f32.
    const reward = failingReward(1e39, (step) => step === 2 || step > 3);
    const story = listener();
    const options = { ...SANE, reward, gpu, normaliseScores: false };
    using trainer = await PpoTrainer.create(options);
    await trainer.trainStep(PROMPTS);
    const before = await stateOf(trainer);
    const { metrics, events } = await trainer.trainStep(PROMPTS);
    assertEquals((await stateOf(trainer)).numbers, before.numbers);
    assertEquals([metrics["ppo/skipped"], metrics["guard/non_finite_update"]], [2, 1]);
    assertEquals(events.map(({ rule, action }) => [rule, action]), [["non_finite_update", "skip"]]);
    assertMatch(events[0].message, /gradient of 2 of 2 optimizer steps was not finite \(1 of at/);
    assertEquals((await trainer.trainStep(PROMPTS)).events, []);
    assertNotEquals((await stateOf(trainer)).numbers, before.numbers);
    const train = () => trainer.train({ prompts: PROMPTS, callbacks: [story] });
    await assertRejects(train, GuardError, "lower learningRate, or keep the scores smaller");
    assertEquals(story.events.map(({ action }) => action), ["skip", "skip", "skip", "stop"]);
  }));

Deno.test("of a sound model there is no evidence against padding, nor of chance", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({ ...SANE, gpu });
    const { run } = trainer;
    const rollout = await sampleRollout(run.policy, PROMPTS, run.config);
    const evidence = await ratioEvidence(run, rollout, { policyKl: 0.5, approxKl: 0.5 });
    assertEquals([evidence.repeat, evidence.mean, evidence.spread], [0, -0.5, 1]);
    assert(evidence.padding < 1e-4, `${evidence.padding}`); // other shapes round differently
  }));

Deno.test("a ratio that is not 1 at first is reported with its likely cause", () =>
  withGpu(async (gpu) => {
    // A minibatch of the whole batch would begin with the forward pass that was scored.
    const miniBatchSize = SANE.batchSize! / 2;
    using trainer = await PpoTrainer.create({ ...SANE, miniBatchSize, gpu });
    const { policy, rng } = trainer.run;
    assertEquals((await trainer.trainStep(PROMPTS)).metrics["guard/first_ratio"], 0);

    // Between the look at the old log-probabilities and the update, the parameters shrink.
    const [chunk] = policy.values.chunks;
    const shrunk = (await gpu.read(chunk)).map((x) => x * 0.8);
    const shuffle = rng.shuffle.bind(rng);
    rng.shuffle = (rows) => {
      gpu.write(chunk, shrunk);
      return shuffle(rows);
    };
    const { events, metrics } = await trainer.trainStep(PROMPTS);
    assertEquals(events.map(({ rule, action }) => [rule, action]), [["first_ratio", "warn"]]);
    assert(metrics["guard/first_ratio"] > 0.01);
    assertMatch(
      events[0].message,
      /^before the policy has moved, .* by up to \S+ nats, the limit is 0.001; it looks like/,
    );
  }));

/** Trains in a run folder to the end, or until after step `until` has been taken the second time. */
async function trainIn(
  gpu: Gpu,
  path: string,
  { interrupt = false }: { interrupt?: boolean } = {},
): Promise<void> {
  using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu, saveEvery: 4 });
  using folder = await RunFolder.create(path, trainer.config);
  const stop = new AbortController();
  const interrupter: TrainerCallback = { onGuardEvent: () => void (interrupt && stop.abort()) };
  await finish(trainer, folder, { interrupter, signal: stop.signal });
}

async function finish(
  trainer: PpoTrainer,
  folder: RunFolder,
  { interrupter = {}, signal }: { interrupter?: TrainerCallback; signal?: AbortSignal } = {},
): Promise<void> {
  const keeper = new CheckpointKeeper(folder, trainer.config);
  await trainer.train({
    prompts: PROMPTS,
    callbacks: [folder.recorder(), interrupter, keeper],
    ...(signal && { signal }),
  });
  if (!signal?.aborted) await keeper.save(trainer);
}

Deno.test("what collapses before the first checkpoint goes back to the beginning", () =>
  withFolder((folder) =>
    withGpu(async (gpu) => {
      const path = `${folder}/run`;
      const story = listener();
      const betas: number[] = [];
      const noted: TrainerCallback = {
        onRollback: ({ run }) => void betas.push(run.controller.beta),
      };
      using trainer = await PpoTrainer.create({ ...COLLAPSING, gpu, saveEvery: 10 });
      using run = await RunFolder.create(path, trainer.config);
      const begun = await stateOf(trainer);
      const states: Awaited<ReturnType<typeof stateOf>>[] = [];
      const restored: TrainerCallback = {
        onRollback: async (trainer) => void states.push(await stateOf(trainer)),
      };
      const keeper = new CheckpointKeeper(run, trainer.config);
      const callbacks = [run.recorder(), story, noted, restored, keeper];
      await trainer.train({ prompts: PROMPTS, callbacks });
      const [{ rule, action, step, backTo }] = story.events;
      assertEquals([rule, action, backTo], ["kl", "rollback", 0]);
      assert(step < 10);
      assertEquals([betas[0], states[0].numbers], [0.2, begun.numbers]);
      const steps = story.steps.map(({ metrics }) => metrics.step);
      assertEquals(steps, [...Array(12).keys()].map((i) => i + 1));
      const left = Array.from(Deno.readDirSync(`${path}/checkpoints`), ({ name }) => name);
      assertEquals(left, ["step-000010"]); // which makes that of the beginning needless
    })
  ));

Deno.test("a step that ends a run has its line, and is no checkpoint", () =>
  withFolder((folder) =>
    withGpu(async (gpu) => {
      const path = `${folder}/run`;
      const options = { ...COLLAPSING, gpu, saveEvery: 1, keep: 0, guardActions: "kl=stop" };
      using trainer = await PpoTrainer.create(options);
      using run = await RunFolder.create(path, trainer.config);
      const callbacks = [run.recorder(), new CheckpointKeeper(run, trainer.config)];
      const train = () => trainer.train({ prompts: PROMPTS, callbacks });
      const { event: { step }, message } = await assertRejects(train, GuardError);
      const lines = (await Deno.readTextFile(`${path}/metrics.jsonl`)).trimEnd().split("\n");
      const last = JSON.parse(lines.at(-1)!);
      assertEquals([lines.length, last.step], [step, step]);
      assert(last["guard/kl"] > 0.6);
      const newest = `step-${String(step - 1).padStart(6, "0")}`;
      assertEquals(await Deno.readTextFile(`${path}/latest`), `checkpoints/${newest}\n`);
      assertMatch(message, new RegExp(`; the newest checkpoint is .*${newest}$`));
    })
  ));

Deno.test("a step whose update was not finite is no checkpoint, since the policy may be what is broken", () =>
  withFolder((folder) =>
    withGpu(async (gpu) => {
      const path = `${folder}/run`;
      const options = { ...COLLAPSING, gpu, learningRate: 1e30, saveEvery: 1, keep: 1 };
      using trainer = await PpoTrainer.create(options);
      using run = await RunFolder.create(path, trainer.config);
      const callbacks = [run.recorder(), new CheckpointKeeper(run, trainer.config)];
      const train = () => trainer.train({ prompts: PROMPTS, callbacks });
      const { event } = await assertRejects(train, GuardError);
      assertEquals([event.rule, event.step], ["non_finite_update", 4]);
      assertEquals(await Deno.readTextFile(`${path}/latest`), "checkpoints/step-000000\n");
    })
  ));

Deno.test("a run that went back has the lines of the steps that count, all events, and resumes bit by bit", () =>
  withFolder((folder) =>
    withGpu(async (gpu) => {
      await trainIn(gpu, `${folder}/whole`);
      const whole = await recordOf(`${folder}/whole`);
      const events = await Deno.readTextFile(`${folder}/whole/events.jsonl`);
      const lines = events.trimEnd().split("\n").map((line) => JSON.parse(line));
      assertEquals(lines[0].action, "rollback");
      assertEquals(
        Object.keys(lines[0]),
        ["step", "rule", "action", "message", "value", "threshold", "backTo"],
      );
      const steps = (await Deno.readTextFile(`${folder}/whole/metrics.jsonl`)).trimEnd().split("\n")
        .map((line) => JSON.parse(line).step);
      assertEquals(steps, [...Array(12).keys()].map((i) => i + 1));

      // Ended just after it went back, before a checkpoint knows of it: it goes through the same again.
      const path = `${folder}/ended`;
      await trainIn(gpu, path, { interrupt: true });
      {
        const from = `${path}/checkpoints/step-${String(lines[0].backTo).padStart(6, "0")}`;
        using trainer = await PpoTrainer.resume(from, { gpu, reward: LETTERS });
        using run = await RunFolder.reopen(path, trainer.config, trainer.steps);
        await finish(trainer, run);
      }
      assertEquals(await Deno.readTextFile(`${path}/events.jsonl`), events);
      assertEquals(await recordOf(path), whole);
    })
  ));
