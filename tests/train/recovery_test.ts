import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { DeviceLostError, type Gpu } from "../../kernels/runtime/mod.ts";
import type { TrainerCallback } from "../../train/callbacks.ts";
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { trainThroughLoss } from "../../train/recovery.ts";
import { RunFolder } from "../../train/run_folder.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { recordOf } from "../helpers/runs.ts";

const CONFIG = resolveConfig({
  flags: {
    model: GPT2,
    steps: 5,
    batchSize: 2,
    miniBatchSize: 2,
    epochs: 1,
    maxNewTokens: 4,
    saveEvery: 2,
    memoryBudget: "40MB",
  },
});

/** Takes the device away. */
const destroy = (gpu: Gpu) => gpu.device.destroy();

/** Takes more memory than there is. */
const overfill = (gpu: Gpu) => void gpu.empty([20_000_000], "f32", "hog");

/** Trains in `path`; `failAfter` says after which steps the fault strikes, one for each time it is reached. */
async function trainIn(
  path: string,
  failAfter: number[],
  fault: (gpu: Gpu) => void = destroy,
): Promise<string[]> {
  const said: string[] = [];
  using trainers = new DisposableStack();
  const open = async (checkpoint: string | undefined) =>
    trainers.use(
      checkpoint ? await PpoTrainer.resume(checkpoint, CONFIG) : await PpoTrainer.create(CONFIG),
    );
  using folder = await RunFolder.create(path, CONFIG);
  const striker: TrainerCallback = {
    onStepEnd({ gpu }, { metrics }) {
      if (metrics.step === failAfter[0]) {
        failAfter.shift();
        fault(gpu);
      }
    },
  };
  const train = async (trainer: PpoTrainer) => {
    const keeper = new CheckpointKeeper(folder, CONFIG);
    await trainer.train({ callbacks: [folder.recorder(), keeper, striker] });
    await keeper.save(trainer);
  };
  const say = (line: string) => void said.push(line);
  const trainer = await trainThroughLoss(await open(undefined), { folder, train, open, say });
  assertEquals(trainer.steps, CONFIG.steps);
  return said;
}

Deno.test("a run whose GPU is lost goes on from its newest checkpoint, and ends as if it had not been", (t) =>
  withFolder(async (folder) => {
    assertEquals(await trainIn(`${folder}/whole`, []), []);
    const whole = await recordOf(`${folder}/whole`);

    await t.step("before the first checkpoint, and twice later", async () => {
      const run = `${folder}/lost`;
      const said = await trainIn(run, [1, 3, 4]);
      assertEquals(said.length, 3);
      assertMatch(
        said[0],
        /^The GPU was lost \(destroyed\).*; the run goes on from the beginning, on/,
      );
      assertMatch(
        said[1],
        /goes on from its newest checkpoint, .*lost\/checkpoints\/step-000002, on/,
      );
      assertMatch(said[2], /step-000004/);
      assertEquals(await recordOf(run), whole);
    });

    await t.step("out of memory", async () => {
      const run = `${folder}/full`;
      const said = await trainIn(run, [3], overfill);
      assertMatch(
        said.join(),
        /for hog.*; the run goes on from its newest checkpoint, .*000002, on/,
      );
      assertEquals(await recordOf(run), whole);
    });

    await t.step("but not twice from one checkpoint", async () => {
      const run = `${folder}/again`;
      const error = await assertRejects(() => trainIn(run, [3, 3]), DeviceLostError);
      assertMatch(error.message, /; it did so again after the run went on from .*step-000002$/);
      const left = Array.from(Deno.readDirSync(`${run}/checkpoints`), ({ name }) => name);
      assertEquals(left, ["step-000002"]);
    });

    await t.step("and another error is no loss", async () => {
      const failing = async () => {
        using run = await RunFolder.create(`${folder}/other`, CONFIG);
        await trainThroughLoss({} as PpoTrainer, {
          folder: run,
          train: () => Promise.reject(new RangeError("the reward is out")),
          open: () => Promise.reject(new Error("opened")),
          say: () => assert(false),
        });
      };
      await assertRejects(failing, RangeError, "the reward is out");
    });
  }));
