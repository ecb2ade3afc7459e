import { assert, assertEquals, assertRejects } from "@std/assert";
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import type { GuardEvent } from "../../train/guard_event.ts";
import type { PpoMetrics } from "../../train/metrics.ts";
import type { PpoTrainer } from "../../train/ppo_trainer.ts";
import {
  bestCheckpoint,
  latestCheckpoint,
  listCheckpoints,
  RunFolder,
  RunFolderError,
} from "../../train/run_folder.ts";
import { listTree, withFolder } from "../helpers/folder.ts";

const CONFIG = resolveConfig({ flags: { batchSize: 4 } });

const LINES = (...steps: number[]) => steps.map((step) => JSON.stringify({ step }) + "\n").join("");

/** A run that came to `steps` steps, with a checkpoint after each that holds one small file. */
async function writeRun(path: string, steps: readonly number[]): Promise<RunFolder> {
  const run = await RunFolder.create(path, CONFIG);
  await Deno.writeTextFile(`${path}/metrics.jsonl`, LINES(...steps));
  await Deno.writeTextFile(
    `${path}/samples.jsonl`,
    LINES(...steps.flatMap((step) => [step, step])),
  );
  for (const step of steps) await writeCheckpoint(run.checkpoint(step));
  await run.point("latest", steps.at(-1)!);
  return run;
}

async function writeCheckpoint(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  await Deno.writeTextFile(`${folder}/trainer_state.json`, "{}");
}

async function stepsOf(path: string): Promise<number[]> {
  return (await listCheckpoints(path)).map(({ step }) => step);
}

Deno.test("a run folder is one process's: a second is refused while the first is open", () =>
  withFolder(async (folder) => {
    const path = `${folder}/run`;
    const both = await Promise.allSettled([1, 2].map(() => RunFolder.create(path, CONFIG)));
    const failed = both.filter((result) => result.status === "rejected");
    assertEquals(failed.length, 1);
    assert(failed[0].reason instanceof RunFolderError, `${failed[0].reason}`);
    const says = "another process is training there";
    await assertRejects(() => RunFolder.reopen(path, CONFIG, 0), RunFolderError, says);
    const opened = both.find((result) => result.status === "fulfilled")!;
    opened.value[Symbol.dispose]();
    await assertRejects(() => RunFolder.create(path, CONFIG), RunFolderError, "it holds a run");
    (await RunFolder.reopen(path, CONFIG, 0))[Symbol.dispose]();
  }));

Deno.test("reopen() takes a run back to a step: lines, checkpoints, pointers, leftovers", () =>
  withFolder(async (folder) => {
    const path = `${folder}/run`;
    {
      using run = await writeRun(path, [1, 2, 3, 4]);
      await run.point("best", 3);
      await Deno.writeTextFile(`${path}/samples.jsonl`, '{"step": 4, "pro', { append: true }); // torn
      await Deno.mkdir(`${path}/checkpoints/.step-000005.abc.tmp`);
      await Deno.mkdir(`${path}/checkpoints/notes`); // not ours
    }
    using _run = await RunFolder.reopen(path, { ...CONFIG, seed: 7 }, 2);
    assertEquals(await Deno.readTextFile(`${path}/metrics.jsonl`), LINES(1, 2));
    assertEquals(await Deno.readTextFile(`${path}/samples.jsonl`), LINES(1, 1, 2, 2));
    assertEquals(await listTree(`${path}/checkpoints`), [
      "notes",
      "step-000001/trainer_state.json",
      "step-000002/trainer_state.json",
    ]);
    assertEquals(await latestCheckpoint(path), `${path}/checkpoints/step-000002`);
    assertEquals(await bestCheckpoint(path), undefined); // it was a later one
    assertEquals(JSON.parse(await Deno.readTextFile(`${path}/config.json`)).seed, 7);
  }));

Deno.test("cutting back to 0, to a step without lines, and of files that are torn, empty or absent", () =>
  withFolder(async (folder) => {
    using run = await writeRun(`${folder}/run`, [1, 2, 3]);
    const metrics = `${run.path}/metrics.jsonl`;
    const cases: [text: string, step: number, left: string][] = [
      [LINES(1, 2, 4, 5), 3, LINES(1, 2)],
      [LINES(1, 2), 9, LINES(1, 2)],
      [LINES(1) + '{"step": 2}', 2, LINES(1)], // without its line feed a line may be half a line
      [LINES(1) + "\n\n", 1, LINES(1)],
      [LINES(1, 2) + "nonsense\n", 2, LINES(1, 2)],
      ["", 1, ""],
      ["\n", 1, ""],
      [LINES(1), 0, ""],
      // A line that led back to step 2 belongs to what came after that.
      ['{"step":5,"backTo":2}\n', 3, '{"step":5,"backTo":2}\n'],
      ['{"step":5,"backTo":2}\n', 2, ""],
    ];
    for (const [text, step, left] of cases) {
      await Deno.writeTextFile(metrics, text);
      await run.cutBack(step);
      assertEquals(await Deno.readTextFile(metrics), left, JSON.stringify([text, step]));
    }
    assertEquals(await stepsOf(run.path), []);
    assertEquals(await latestCheckpoint(run.path), undefined);
    await Deno.remove(metrics);
    await run.cutBack(0);
  }));

Deno.test("a rollback removes what came later, but not what the guard saw", () =>
  withFolder(async (folder) => {
    using run = await writeRun(`${folder}/run`, [1, 2, 3]);
    const recorder = run.recorder();
    const trainer = { steps: 2 } as PpoTrainer;
    const event = { step: 4, rule: "kl", action: "rollback", message: "", value: 2, threshold: 1 };
    await recorder.onGuardEvent!(trainer, { ...event, action: "warn" } as GuardEvent);
    await recorder.onRollback!(trainer);
    await recorder.onGuardEvent!(trainer, { ...event, backTo: 2 } as GuardEvent);
    assertEquals(await stepsOf(run.path), [1, 2]);
    assertEquals(await Deno.readTextFile(`${run.path}/metrics.jsonl`), LINES(1, 2));
    const events = (await Deno.readTextFile(`${run.path}/events.jsonl`)).trimEnd().split("\n");
    assertEquals(events.map((line) => JSON.parse(line).action), ["warn", "rollback"]);
  }));

Deno.test("prune() keeps the newest and the best", () =>
  withFolder(async (folder) => {
    using run = await writeRun(`${folder}/run`, [1, 2, 3, 4, 5]);
    await writeCheckpoint(run.checkpoint(0)); // that of the beginning goes in any case
    await run.prune(0);
    assertEquals(await stepsOf(run.path), [1, 2, 3, 4, 5]);
    await run.point("best", 2);
    await run.prune(2);
    assertEquals(await stepsOf(run.path), [2, 4, 5]);
    await run.point("best", 5);
    await run.prune(2);
    assertEquals(await stepsOf(run.path), [4, 5]);
  }));

Deno.test("the keeper saves on time, points to the newest and the best, and remembers the best", async (t) => {
  const cases: [bestMetric: string, scores: number[], best: (number | undefined)[]][] = [
    // Means of two steps: 1, 3, 2, 3 (no better than 3), nothing.
    ["objective/scores", [0, 2, 3, 3, 2, 2, 1, 5, NaN, NaN], [1, 2, 2, 2, 2].map((n) => 2 * n)],
    ["-objective/scores", [5, 5, NaN, 4, 6, 6, 3, 3, 3, 3], [1, 2, 2, 4, 4].map((n) => 2 * n)],
    ["", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], Array(5).fill(undefined)],
  ];
  for (const [bestMetric, scores, expected] of cases) {
    await t.step(bestMetric || "no best", () =>
      withFolder(async (folder) => {
        using run = await RunFolder.create(`${folder}/run`, CONFIG);
        const options = { saveEvery: 2, keep: 2, bestMetric, guard: false };
        const keeper = new CheckpointKeeper(run, options);
        let steps = 0;
        const trainer = {
          get steps() {
            return steps;
          },
          save: (path: string) => writeCheckpoint(path),
        } as unknown as PpoTrainer;
        await keeper.onTrainBegin(trainer);
        await keeper.save(trainer); // no step was taken
        assertEquals(await stepsOf(run.path), []);
        const best: (number | undefined)[] = [];
        for (const score of scores) {
          steps++;
          const metrics = { step: steps, "objective/scores": score } as unknown as PpoMetrics;
          await keeper.onStepEnd(trainer, { metrics, samples: [], advantages: [], events: [] });
          if (steps % 2 !== 0) continue;
          await keeper.save(trainer); // is there already
          assertEquals(await latestCheckpoint(run.path), run.checkpoint(steps));
          const name = await bestCheckpoint(run.path);
          best.push(name === undefined ? undefined : Number(name.slice(-6)));
        }
        assertEquals(best, expected);
        const left = new Set([8, 10, ...best.slice(-1).filter((step) => step !== undefined)]);
        assertEquals(await stepsOf(run.path), [...left].toSorted((a, b) => a - b));

        const again = new CheckpointKeeper(run, options);
        again.restore(JSON.parse(JSON.stringify(keeper.state())));
        assertEquals(again.state(), keeper.state());
      }));
  }
});
