import { assert, assertEquals, assertRejects } from "@std/assert";
import { openCheckpoint } from "../../train/checkpoint.ts";
import { CheckpointError } from "../../train/checkpoint_error.ts";
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { ConfigError } from "../../train/config.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { findResumePoint } from "../../train/resume_point.ts";
import type { RunFolder } from "../../train/run_folder.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { changeWeights, copyGpt2, GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const PROMPTS = ["the movie", "a", "it is"];

const SETTINGS: PpoTrainerOptions = {
  model: GPT2,
  steps: 3,
  batchSize: 2,
  miniBatchSize: 2,
  epochs: 1,
  maxNewTokens: 4,
};

/** Runs a test with a checkpoint of one step, made once, in `folder/checkpoint`. */
async function withCheckpoint(test: (folder: string, checkpoint: string) => Promise<void>) {
  await withFolder((folder) =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
      await trainer.train({ prompts: PROMPTS, steps: 1 });
      await trainer.save(`${folder}/checkpoint`);
      await test(folder, `${folder}/checkpoint`);
    })
  );
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for (const { name } of Deno.readDirSync(from)) {
    await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function changeState(folder: string, change: Record<string, unknown>): Promise<void> {
  const path = `${folder}/trainer_state.json`;
  const state = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...state, ...change }));
}

interface Fault {
  what: string;
  make: (folder: string) => Promise<void>;
  says: string;
}

const FAULTS: Fault[] = [
  {
    what: "a missing state",
    make: (folder) => Deno.remove(`${folder}/trainer_state.json`),
    says:
      "it has no trainer_state.json: it is a model without the state of a training; begin a new run",
  },
  {
    what: "missing moments",
    make: (folder) => Deno.remove(`${folder}/optimizer.safetensors`),
    says: "its optimizer.safetensors is missing",
  },
  {
    what: "a missing policy",
    make: (folder) => Deno.remove(`${folder}/model.safetensors`),
    says: "model.safetensors",
  },
  {
    what: "cut moments",
    make: (folder) => Deno.truncate(`${folder}/optimizer.safetensors`, 500_000),
    says: "optimizer.safetensors: it is cut off",
  },
  {
    what: "a cut policy",
    make: (folder) => Deno.truncate(`${folder}/model.safetensors`, 1000),
    says: "model.safetensors",
  },
  {
    what: "a cut state",
    make: (folder) => Deno.truncate(`${folder}/trainer_state.json`, 200),
    says: "its trainer_state.json is not JSON (line ",
  },
  {
    what: "a state of nothing",
    make: (folder) => Deno.writeTextFile(`${folder}/trainer_state.json`, "null"),
    says: "its trainer_state.json was written by another program",
  },
  {
    what: "an older format",
    make: (folder) => changeState(folder, { version: 0 }),
    says:
      "has the format version 0, this release reads 2; resume it with the release that wrote it, or begin",
  },
  {
    what: "a newer format",
    make: (folder) => changeState(folder, { version: 3 }),
    says:
      "has the format version 3, this release reads 2; resume it with the release that wrote it, or a later",
  },
  {
    what: "impossible numbers",
    make: (folder) => changeState(folder, { minibatchRng: [1, 2, 3, -4] }),
    says: "its trainer_state.json is broken at minibatchRng.3",
  },
];

Deno.test("a checkpoint that is not whole is refused with one type of error", (t) =>
  withCheckpoint(async (folder, checkpoint) => {
    const { state } = await openCheckpoint(checkpoint);
    assertEquals([state.step, state.episodes, state.optimizer[0]], [1, 2, 1]);
    for (const { what, make, says } of FAULTS) {
      await t.step(what, async () => {
        const broken = `${folder}/${what}`;
        await copyFolder(checkpoint, broken);
        await make(broken);
        const error = await assertRejects(() => openCheckpoint(broken), CheckpointError);
        assert(
          error.message.startsWith(`Cannot resume from the checkpoint ${broken}: `),
          error.message,
        );
        assert(error.message.includes(says), error.message);
        assert(!error.message.includes("\n"));
        await assertRejects(() => PpoTrainer.resume(broken), CheckpointError);
      });
    }
    await t.step("no folder", async () => {
      await assertRejects(
        () => openCheckpoint(`${folder}/none`),
        CheckpointError,
        "no such folder",
      );
    });
  }));

Deno.test("what a checkpoint keeps for the guard or a callback, and is none of it, is refused in one line", () =>
  withCheckpoint(async (_, checkpoint) => {
    const says = (place: string) =>
      `Cannot resume from the checkpoint ${checkpoint}: its trainer_state.json is broken at ${place} (`;
    await changeState(checkpoint, { callbacks: { checkpoints: { best: "first" } } });
    using trainer = await PpoTrainer.resume(checkpoint, { steps: 2 });
    const keeper = new CheckpointKeeper({} as RunFolder, trainer.config);
    await assertRejects(
      () => trainer.train({ prompts: PROMPTS, callbacks: [keeper] }),
      CheckpointError,
      says("callbacks.checkpoints.best"),
    );
    await changeState(checkpoint, { callbacks: { guard: [] } });
    await assertRejects(
      () => PpoTrainer.resume(checkpoint, { guard: true }),
      CheckpointError,
      says("callbacks.guard"),
    );
    await assertRejects(() => findResumePoint(""), CheckpointError, "it has no name");
  }));

Deno.test("where the newest checkpoint of a run is not whole, the newest whole one is named", () =>
  withCheckpoint(async (folder, checkpoint) => {
    const run = `${folder}/run`;
    const at = (step: number) => `${run}/checkpoints/step-00000${step}`;
    for (const step of [1, 2, 3]) await copyFolder(checkpoint, at(step));
    assertEquals((await findResumePoint(run)).checkpoint?.folder, at(3));
    assertEquals((await findResumePoint(`${at(1)}/`)).run, run);
    for (const step of [3, 2]) await Deno.truncate(`${at(step)}/optimizer.safetensors`, 1000);
    for (const path of [run, at(3)]) {
      const says = `an older one is whole: --resume ${at(1)}`;
      await assertRejects(() => findResumePoint(path), CheckpointError, says);
    }
    await Deno.remove(`${at(1)}/trainer_state.json`);
    await assertRejects(() => findResumePoint(run), CheckpointError, "it is cut off");
  }));

Deno.test("resume() refuses another reference, reward and other prompts, and finds the reference elsewhere", () =>
  withCheckpoint(async (folder, checkpoint) => {
    await withGpu(async (gpu) => {
      const resume = (options: PpoTrainerOptions = {}) =>
        PpoTrainer.resume(checkpoint, { gpu, ...options });
      await copyGpt2(`${folder}/changed`);
      await changeWeights(`${folder}/changed`, (tensors) =>
        tensors.map((tensor) => {
          if (!tensor.name.endsWith("ln_f.bias")) return tensor;
          const data = Float32Array.from(tensor.data as Float32Array);
          data[0] += 1e-6;
          return { ...tensor, data };
        }));
      await assertRejects(
        () => resume({ model: `${folder}/changed` }),
        CheckpointError,
        `the model ${folder}/changed is not the one that the run began with; give the folder`,
      );
      const reward = { name: "other", score: () => [0, 0] };
      const says = "the run was rewarded by sentiment, and now by other";
      await assertRejects(() => resume({ reward }), CheckpointError, says);

      await copyGpt2(`${folder}/moved`);
      using trainer = await resume({ model: `${folder}/moved` });
      assertEquals(trainer.resumes.at(-1)!.changed, { model: [GPT2, `${folder}/moved`] });
      const others = [...PROMPTS, "more"];
      await assertRejects(
        () => trainer.train({ prompts: others }),
        CheckpointError,
        "the prompts are not those that the run began with",
      );
      await trainer.train({ prompts: [...PROMPTS] });
      assertEquals(trainer.steps, 3); // as the setting says
    });
  }));

Deno.test("settings that shaped the state are refused on resume by name, others change and are noted", () =>
  withCheckpoint(async (folder, checkpoint) => {
    const refused: [PpoTrainerOptions, string][] = [
      [{ batchSize: 4 }, "Cannot resume with batchSize 4: the run was made with 2"],
      [{ seed: 1 }, "Cannot resume with seed 1: the run was made with 0"],
      [
        { klCoef: 0.3 },
        "klCoef 0.3: the run was made with 0.2, which shaped its state; leave out --kl-coef",
      ],
      [{ klMode: "reward" }, 'klMode "reward": the run was made with "loss"'],
      [{ learningRate: -1 }, "learningRate -1"],
    ];
    for (const [options, says] of refused) {
      await assertRejects(() => PpoTrainer.resume(checkpoint, options), ConfigError, says);
    }
    await withGpu(async (gpu) => {
      const changed = { learningRate: 1e-4, steps: 5, klTarget: 0.02 };
      using trainer = await PpoTrainer.resume(checkpoint, { ...changed, batchSize: 2, gpu });
      await trainer.train({ prompts: PROMPTS });
      assertEquals([trainer.steps, trainer.config.learningRate], [5, 1e-4]);
      await trainer.save(`${folder}/later`);
      const { state } = await openCheckpoint(`${folder}/later`);
      const noted = { learningRate: [1e-5, 1e-4], steps: [3, 5], klTarget: [0.01, 0.02] };
      assertEquals(state.resumes, [{ step: 1, changed: noted }]);
    });
  }));

Deno.test("save() can leave out what only training needs", () =>
  withFolder((folder) =>
    withGpu(async (gpu) => {
      using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
      await trainer.save(`${folder}/model`, { resumable: false });
      const files = await listTree(`${folder}/model`);
      assertEquals(files.filter((name) => /optimizer|state/.test(name)), []);
      using model = await loadCausalLM(gpu, `${folder}/model`, { valueHead: true });
      assertEquals(model.layout.count, trainer.policy.layout.count);

      await trainer.save(`${folder}/whole`);
      const bytes = (name: string) => Deno.statSync(`${folder}/whole/${name}`).size;
      const numbers = 4 * trainer.policy.layout.count;
      assert(bytes("model.safetensors") < numbers + 5000);
      assert(bytes("optimizer.safetensors") < 2 * numbers + 10_000); // 12 bytes a parameter in all
    })
  ));
