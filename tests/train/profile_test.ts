import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import type { TimedDispatch } from "../../kernels/runtime/mod.ts";
import { PPO_PHASES } from "../../train/ppo.ts";
import { chromeTrace, kernelTable, stepTable } from "../../train/profile_report.ts";
import {
  kernelProfiles,
  profileDispatches,
  profileSteps,
  STEP_PARTS,
} from "../../train/step_profile.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { runProgram } from "../helpers/program.ts";
import { randomRun } from "../helpers/random_run.ts";

const WORKLOAD = {
  layers: 1,
  width: 16,
  heads: 2,
  vocabulary: 32,
  prompt: 3,
  response: 4,
  batchSize: 2,
  miniBatchSize: 2,
  epochs: 1,
};

Deno.test("profileSteps() and profileDispatches() account for the whole of a PPO step", () =>
  withGpu(async (gpu) => {
    using resources = new DisposableStack();
    const { run, prompts } = randomRun(gpu, resources, WORKLOAD);
    const step = await profileSteps(run, () => prompts, { steps: 3 });
    const ofPhases = PPO_PHASES.map((phase) => step.phases[phase]);
    const recorded = ofPhases.reduce((sum, { counts }) => sum + counts.dispatches, 0);
    assert(recorded > 50, `${recorded} dispatches`);
    assertEquals(step.everySecond.toSorted((a, b) => a - b)[1], step.seconds);
    assertAlmostEquals(step.tokensPerSecond, 2 * 4 / step.seconds);
    assertEquals(step.peakBytes, gpu.peakBytes);

    const { dispatches, phases } = await profileDispatches(run, prompts, { step: 5 });
    assertEquals(gpu.profiler, undefined);
    assertEquals(dispatches.length, recorded);
    const [begin, end] = [phases[0].startMs, phases[4].startMs + phases[4].ms];
    const slack = 10; // ms by which the clocks of host and adapter may be apart on a busy machine
    for (const { startMs, ms } of dispatches) {
      assert(startMs > begin - slack && startMs + ms < end + slack);
    }
  }, { timestamps: true }));

function dispatch(part: Partial<TimedDispatch>): TimedDispatch {
  return {
    kernel: "gelu",
    pass: "update",
    shape: "(2, 3)",
    flops: 0,
    bytes: 0,
    startMs: 1,
    ms: 1,
    ...part,
  };
}

Deno.test("kernelProfiles() sums by kernel and shapes, and compares with the nearer limit", () => {
  const profiles = kernelProfiles([
    dispatch({ ms: 2, bytes: 1e6 }),
    dispatch({ ms: 2, bytes: 1e6 }),
    dispatch({ shape: "(1)", ms: 1, bytes: 1e6 }),
    dispatch({ kernel: "matmul", ms: 5, flops: 10e6, bytes: 1e6 }),
  ], { flopsPerSecond: 4e9, bytesPerSecond: 2e9 });
  assertEquals(profiles, [
    {
      kernel: "matmul",
      shape: "(2, 3)",
      calls: 1,
      ms: 5,
      timeShare: 0.5,
      flopsPerSecond: 2e9,
      bytesPerSecond: 2e8,
      limitShare: 0.5,
    },
    {
      kernel: "gelu",
      shape: "(2, 3)",
      calls: 2,
      ms: 4,
      timeShare: 0.4,
      flopsPerSecond: 0,
      bytesPerSecond: 5e8,
      limitShare: 0.25,
    },
    {
      kernel: "gelu",
      shape: "(1)",
      calls: 1,
      ms: 1,
      timeShare: 0.1,
      flopsPerSecond: 0,
      bytesPerSecond: 1e9,
      limitShare: 0.5,
    },
  ]);
  assertEquals(kernelTable(profiles, { rows: 2 }), [
    "kernel  shapes  calls    ms   share  GFLOP/s   GB/s  of limit",
    "matmul  (2, 3)      1  5.00  50.0 %     2.00  0.200    50.0 %",
    "gelu    (2, 3)      2  4.00  40.0 %           0.500    25.0 %",
    "and 1 more with 10.0 % of the time",
  ]);
});

Deno.test("stepTable() has a line for every phase", () => {
  const counts = {
    dispatches: 7,
    submits: 3,
    pipelines: 0,
    bindGroups: 1,
    buffers: 2,
    reads: 1,
    readBytes: 2048,
    writes: 0,
    writtenBytes: 0,
  };
  const lines = stepTable({
    steps: 3,
    seconds: 2,
    everySecond: [2, 2, 2],
    tokensPerSecond: 100,
    generatedPerSecond: 500,
    peakBytes: 2 ** 20,
    phases: {
      generate: { seconds: 0.4, counts },
      score: { seconds: 0.1, counts },
      forward: { seconds: 0.3, counts },
      advantages: { seconds: 0, counts },
      update: { seconds: 1.2, counts },
      guard: { seconds: 0.01, counts },
    },
  });
  assertMatch(
    lines[0],
    /^one PPO step: 2\.000 s \(median of 3\), 100 response tokens\/s, 500 while/,
  );
  assertEquals(lines.slice(3).map((line) => line.split(/\s+/)[0]), [...STEP_PARTS]);
  assertMatch(lines[7], /^update +1\.200 +60\.0 % +7 +3 +1 +2 KiB +2 +1 +0$/);
});

Deno.test("chromeTrace() gives microseconds, phases and kernels on a track each", () => {
  const trace = chromeTrace({
    source: "timestamps",
    dispatches: [dispatch({ startMs: 2, ms: 0.5, flops: 3, bytes: 4 })],
    phases: [{ phase: "update", startMs: 1, ms: 3 }],
  }) as { traceEvents: Record<string, unknown>[] };
  assertEquals(trace.traceEvents.filter(({ ph }) => ph === "X"), [
    { name: "update", ph: "X", ts: 1000, dur: 3000, pid: 1, tid: 1 },
    {
      name: "gelu",
      ph: "X",
      ts: 2000,
      dur: 500,
      pid: 1,
      tid: 2,
      cat: "update",
      args: { shape: "(2, 3)", flops: 3, bytes: 4 },
    },
  ]);
  assertEquals(
    trace.traceEvents.filter(({ ph }) => ph === "M").map(({ tid, args }) => [tid, args]),
    [[1, { name: "phases" }], [2, { name: "GPU" }]],
  );
});

Deno.test("profile prints JSON and writes a trace", () =>
  withFolder(async (folder) => {
    const trace = `${folder}/trace.json`;
    const sizes = ["--batch-size", "2", "--mini-batch-size", "2", "--epochs", "1"];
    const given = [
      "--model",
      GPT2,
      "--reward",
      "heuristic",
      "--max-new-tokens",
      "2",
      "--steps",
      "1",
    ];
    const { code, stdout, stderr } = await runProgram("profile", [
      ...given,
      ...sizes,
      "--json",
      "--trace",
      trace,
    ]);
    assertEquals([code, stderr], [0, ""]);
    const { adapter, step, kernels } = JSON.parse(stdout);
    assert(step.phases.guard.seconds > 0, "the guard looks at every step");
    assert(adapter.flopsPerSecond > 0 && adapter.bytesPerSecond > 0, stdout);
    assertEquals(step.steps, 1);
    const calls = kernels.reduce((sum: number, one: { calls: number }) => sum + one.calls, 0);
    const { traceEvents } = JSON.parse(await Deno.readTextFile(trace));
    assertEquals(traceEvents.length, 2 + PPO_PHASES.length + calls);
  }));
