import { assertEquals, assertMatch } from "@std/assert";
import { listTree, withFolder } from "../helpers/folder.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";
import { QUICK_RUN, recordOf } from "../helpers/runs.ts";

const train = (...args: string[]) => runProgram("train", args);

function stepsIn(run: string): number[] {
  const lines = Deno.readTextFileSync(`${run}/metrics.jsonl`).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line).step);
}

Deno.test("train --resume goes on with a run, from an older checkpoint, and into another folder", (t) =>
  withFolder(async (folder) => {
    const run = `${folder}/run`;
    const settings = [
      ...QUICK_RUN,
      "--save-every",
      "1",
      "--steps",
      "2",
      "--lr-schedule",
      "constant",
    ];
    const first = await train(...settings, "--out", run);
    assertEquals([first.code, first.stderr], [0, ""]);
    const whole = await recordOf(run);
    const at = (step: number) => `${run}/checkpoints/step-00000${step}`;

    await t.step(
      "from an older checkpoint into another folder; the run stays as it is",
      async () => {
        const before = await listTree(run);
        const { code, stdout } = await train("--resume", at(1), "--out", `${folder}/branch`);
        assertEquals(code, 0);
        assertMatch(stdout, /^resumed from .*step-000001 after step 1; out .*run" -> .*branch"$/m);
        assertEquals(await recordOf(`${folder}/branch`), whole);
        assertEquals(await listTree(run), before);
      },
    );

    await t.step("from an older checkpoint in place: what came later is taken back", async () => {
      const { code, stdout } = await train("--resume", at(1));
      assertEquals(code, 0);
      assertMatch(stdout, /^step 2\/2 /m);
      assertEquals(await recordOf(run), whole);
    });

    await t.step("with more steps, from a folder that was moved", async () => {
      const moved = `${folder}/moved`;
      await Deno.rename(run, moved);
      const { code, stdout } = await train(
        "--resume",
        `${moved}/`,
        "--steps",
        "3",
        "--learning-rate",
        "0.001",
      );
      assertEquals(code, 0);
      assertMatch(
        stdout,
        /resumed from .*moved.*step-000002 after step 2; .*steps 2 -> 3; learningRate /,
      );
      assertMatch(stdout, /^best checkpoint by objective\/rlhf_reward: .*moved/m);
      assertEquals(stepsIn(moved), [1, 2, 3]);
      const config = JSON.parse(await Deno.readTextFile(`${moved}/config.json`));
      assertEquals([config.steps, config.learningRate, config.out], [3, 0.001, moved]);
      await Deno.rename(moved, run);
    });

    await t.step(
      "refused: another batch size, a folder that is none, a run that is going on",
      async () => {
        const before = await listTree(run);
        const changed = await train("--resume", run, "--batch-size", "8");
        assertRefused(changed, /Cannot resume with batchSize 8: the run was made with 4, /);
        assertRefused(
          await train("--resume", `${folder}/none`),
          /checkpoint .*none: .*no such folder/,
        );
        {
          using lock = await Deno.open(`${run}/.lock`, { write: true });
          await lock.lock(true);
          assertRefused(await train("--resume", run), /run: another process is training there/);
        }
        assertEquals(await listTree(run), before);
      },
    );

    await t.step("a run that never came to a checkpoint begins again", async () => {
      await Deno.remove(`${run}/checkpoints`, { recursive: true });
      await Deno.mkdir(`${run}/checkpoints`);
      const { code, stdout } = await train("--resume", run, "--steps", "1");
      assertEquals(code, 0);
      assertMatch(stdout, /run has no checkpoint yet: it begins again/);
      assertEquals(stepsIn(run), [1]);
    });
  }));
