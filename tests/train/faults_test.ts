import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { TrainerCallback } from "../../train/callbacks.ts";
import { openCheckpoint } from "../../train/checkpoint.ts";
import { CheckpointError } from "../../train/checkpoint_error.ts";
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { findResumePoint } from "../../train/resume_point.ts";
import { RunFolder, RunFolderError } from "../../train/run_folder.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";

/** A checkpoint takes 1.4 MB. */
const CONFIG = resolveConfig({
  flags: {
    model: GPT2,
    steps: 4,
    batchSize: 2,
    miniBatchSize: 2,
    epochs: 1,
    maxNewTokens: 4,
    saveEvery: 1,
    guard: false, // it would save the beginning, too
  },
});

/** Trains into `path`, with a fault that strikes after a step. */
async function trainUntil(path: string, fault: (step: number) => Promise<void>): Promise<void> {
  using trainer = await PpoTrainer.create(CONFIG);
  using folder = await RunFolder.create(path, CONFIG);
  const striker: TrainerCallback = { onStepEnd: (_, { metrics }) => fault(metrics.step) };
  const callbacks = [folder.recorder(), new CheckpointKeeper(folder, CONFIG), striker];
  await trainer.train({ callbacks });
}

async function run(program: string, ...args: string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(program, { args, stderr: "null" }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      return false;
    }
    throw error;
  }
}

/** Runs a test with a disk of `size` bytes, which only some machines let a program make. */
function withDisk(
  t: Deno.TestContext,
  name: string,
  { size, test }: { size: number; test: (disk: string) => Promise<void> },
): Promise<void> {
  return withFolder(async (disk) => {
    const mounted = await run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", disk);
    try {
      await t.step({ name, ignore: !mounted, fn: () => test(disk) });
    } finally {
      if (mounted) await run("umount", disk);
    }
  });
}

/** Checks that `step` is the newest checkpoint, whole, and that nothing half written lies around it. */
async function checkLeft(path: string, step: number): Promise<void> {
  const { checkpoint } = await findResumePoint(path);
  assertEquals(checkpoint?.state.step, step);
  const hidden = (await listTree(`${path}/checkpoints`)).filter((file) => file.startsWith("."));
  assertEquals(hidden, []);
}

Deno.test("a disk that fails ends the run with one clear error, and older checkpoints stay whole", async (t) => {
  await withDisk(t, "full, at the second checkpoint", {
    size: 2_000_000,
    test: async (disk) => {
      const path = `${disk}/run`;
      const error = await assertRejects(() => trainUntil(path, async () => {}), CheckpointError);
      assertMatch(
        error.message,
        /^Cannot write the checkpoint .*step-000002: No space left on device/,
      );
      assert(error.message.endsWith(`; repair that, and go on after step 1 with --resume ${path}`));
      await checkLeft(path, 1);
    },
  });

  await withDisk(t, "full, at the metrics", {
    size: 4_000_000,
    test: async (disk) => {
      const path = `${disk}/run`;
      const fill = async (step: number) => {
        if (step !== 2) return;
        await Deno.writeFile(`${disk}/full`, new Uint8Array(4_000_000)).catch(() => {});
      };
      const error = await assertRejects(() => trainUntil(path, fill), Error);
      assertMatch(error.message, /No space left on device/);
      assert(error instanceof RunFolderError || error instanceof CheckpointError, error.name);
      await checkLeft(path, 2);
    },
  });

  await withDisk(t, "read-only", {
    size: 8_000_000,
    test: async (disk) => {
      const path = `${disk}/run`;
      const lockUp = async (step: number) => {
        if (step !== 2) return;
        assert(await run("mount", "--bind", path, path));
        assert(await run("mount", "-o", "remount,bind,ro", path));
      };
      const error = await assertRejects(() => trainUntil(path, lockUp), RunFolderError);
      const reopen = () => RunFolder.reopen(path, CONFIG, 2);
      const says =
        `Cannot train into ${path}: Read-only file system (os error 30): open '${path}/.lock'; ` +
        "repair that, or choose another folder with --out";
      assertEquals((await assertRejects(reopen, RunFolderError)).message, says);
      assert(await run("umount", path));
      assertMatch(error.message, /^Cannot write the metrics of step 3: Read-only file system/);
      assert(error.message.endsWith(`; repair that, and go on with --resume ${path}`));
      assertEquals((await openCheckpoint(`${path}/checkpoints/step-000002`)).state.step, 2);
    },
  });

  await t.step("vanished", () =>
    withFolder(async (folder) => {
      const vanish = async (step: number) => {
        if (step === 2) await Deno.rename(`${folder}/run`, `${folder}/elsewhere`);
      };
      const error = await assertRejects(() => trainUntil(`${folder}/run`, vanish), RunFolderError);
      assertMatch(error.message, /^Cannot write the metrics of step 3: No such file/);
      await checkLeft(`${folder}/elsewhere`, 2);
      assertEquals(
        await listTree(folder).then((files) => files.every((f) => f.startsWith("else"))),
        true,
      );
    }));
});
