import { assertEquals } from "@std/assert";
import { PPO_PHASES, ppoStep } from "../../train/ppo.ts";
import { reserveActivations } from "../../train/reserve.ts";
import { withGpu } from "../helpers/gpu.ts";
import { randomRun } from "../helpers/random_run.ts";

const WORKLOAD = {
  layers: 2,
  width: 32,
  heads: 2,
  vocabulary: 64,
  prompt: 5,
  response: 20, // more than are generated in one submit
  batchSize: 4,
  miniBatchSize: 2,
  epochs: 2,
};

Deno.test("a PPO step makes nothing after two of its shapes, and waits once a phase", () =>
  withGpu(async (gpu) => {
    using resources = new DisposableStack();
    const { run, prompts } = randomRun(gpu, resources, WORKLOAD);
    const { beta } = run.controller;
    // The first step lets slots grow, the second makes bind groups for what grew after its first use.
    for (const step of [0, 1]) await ppoStep(run, prompts, { step, learningRate: 1e-3 });
    const peakBytes = gpu.peakBytes;
    const { counts, updates } = await ppoStep(run, prompts, { step: 2, learningRate: 1e-4 });

    assertEquals(updates.length, 4);
    assertEquals(
      run.controller.beta !== beta,
      true,
      "another weight of the KL makes nothing either",
    );
    for (const phase of PPO_PHASES) {
      const { pipelines, bindGroups, buffers } = counts[phase];
      assertEquals({ phase, pipelines, bindGroups, buffers }, {
        phase,
        pipelines: 0,
        bindGroups: 0,
        buffers: 0,
      });
    }
    assertEquals(gpu.peakBytes, peakBytes);
    assertEquals(PPO_PHASES.map((phase) => counts[phase].reads), [
      2, // whether all rows have ended, after the first block of 16 tokens; and the tokens
      0,
      1,
      0,
      1, // of all optimizer steps together
    ]);
    assertEquals(PPO_PHASES.map((phase) => counts[phase].submits), [
      2 + 2, // a block each, and the read-backs
      0,
      1 + 1,
      0,
      4 * 2 + 1, // gradients and optimizer of four minibatches
    ]);
  }));

/** Prompts of so many tokens each, as many as there are in a batch. */
function promptsOf(length: number): string[] {
  return Array.from(
    { length: WORKLOAD.batchSize },
    (_, b) => Array.from({ length }, (_, t) => 1 + (7 * b + t) % 60).join(" "),
  );
}

Deno.test("PPO steps allocate nothing after reserveActivations(), whatever the prompts' lengths", () =>
  withGpu(async (gpu) => {
    using resources = new DisposableStack();
    const { run } = randomRun(gpu, resources, WORKLOAD, {
      maxLength: 30,
      minNewTokens: 0,
      gradientAccumulation: 2,
    });
    const batches = [1, 3, 10, 2, 10, 14].map(promptsOf);
    await reserveActivations(run, batches.flat());
    const slotBytes = () => [run.policy, run.reference].map(({ arena }) => [...arena.slotBytes]);
    let reserved = slotBytes();
    for (const [step, prompts] of batches.entries()) {
      await ppoStep(run, prompts, { step, learningRate: 1e-3 });
      if (step === 0) reserved = slotBytes(); // the log of all optimizer steps is among them now
      assertEquals(slotBytes(), reserved, `step ${step}`);
    }
    assertEquals(gpu.liveBytes, gpu.peakBytes);
  }));
