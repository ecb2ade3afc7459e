import { assertEquals, assertMatch } from "@std/assert";
import { findModel, findSource } from "../../train/model_source.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withHub } from "../helpers/hub.ts";
import { COMMIT, WEIGHTS } from "../helpers/hub_server.ts";
import { assertRefused, eventsOf, runProgram } from "../helpers/program.ts";

Deno.test("findModel() takes the newest checkpoint of a run folder, a folder, or a model on the Hub", () =>
  withHub(({ options, cacheDir }) =>
    withFolder(async (run) => {
      assertEquals(await findModel(GPT2, options), { folder: GPT2, name: GPT2 });
      await Deno.writeTextFile(`${run}/latest`, "checkpoints/step-000002\n");
      const checkpoint = `${run}/checkpoints/step-000002`;
      assertEquals(await findModel(run, options), { folder: checkpoint, name: checkpoint });
      const snapshot = `${cacheDir}/models--tiny--gpt2/snapshots/${COMMIT}`;
      const hub = { folder: snapshot, name: `tiny/gpt2@${COMMIT}` };
      assertEquals(await findModel("tiny/gpt2", options), hub);
      assertEquals(await findSource("init:tiny/gpt2", options), `init:${snapshot}`);
      assertEquals(await findSource(GPT2, options), GPT2);
    })
  ));

Deno.test("PpoTrainer.create() takes a model from the Hub", () =>
  withHub(async ({ options }) => {
    using trainer = await PpoTrainer.create({ model: "tiny/gpt2", hub: options });
    assertEquals(trainer.policy.layout.count, 112609); // with a value head
  }));

Deno.test("programs take models from the Hub that the environment names, and a run notes the commit", () =>
  withHub(({ server, cacheDir }) =>
    withFolder(async (folder) => {
      const env = { HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: cacheDir, HF_TOKEN: "hf_test" };
      const pinned = `tiny/gpt2@${COMMIT}`;
      const train = await runProgram("train", [
        ...["--model", "tiny/gpt2", "--out", `${folder}/run`, "--steps", "1", "--batch-size", "2"],
        ...["--epochs", "1", "--max-new-tokens", "4", "--eval-responses", "0", "--json"],
      ], env);
      assertEquals(train.code, 0, train.stderr);
      assertMatch(train.stderr, /^downloaded 0\.5 MB in 0:\d\d\n$/);
      assertEquals(eventsOf(train).map(({ event }) => event), [
        ...["start", "checkpoint", "step", "checkpoint", "end"],
      ]);
      const config = JSON.parse(await Deno.readTextFile(`${folder}/run/config.json`));
      assertEquals(config.model, pinned);
      assertEquals(server.seen.filter(({ host }) => host === "hub")[0]!.token, "Bearer hf_test");

      server.seen.length = 0; // both the policy and its reference are here now
      const args = ["--model", `${folder}/run`, "--responses", "2", "--max-new-tokens", "4"];
      const evaluation = await runProgram("eval", args, env);
      assertEquals([evaluation.code, evaluation.stderr], [0, ""]);
      assertMatch(evaluation.stdout, new RegExp(`, reference ${pinned}, on `));
      assertEquals(server.seen, []);

      const data = `${folder}/data.txt`;
      await Deno.writeTextFile(data, "one text\nand another one\n".repeat(20));
      const sft = ["--data", data, "--out", `${folder}/sft`, "--steps", "1", "--batch-size", "2"];
      const tuned = await runProgram("sft", ["--model", pinned, "--length", "8", ...sft], env);
      assertEquals([tuned.code, tuned.stderr], [0, ""]);
      assertEquals(server.downloads(WEIGHTS), []);

      const offline = { ...env, HF_HUB_OFFLINE: "1" };
      assertRefused(
        await runProgram("eval", ["--model", "runs/no"], offline),
        /no such folder here/,
      );
      assertRefused(
        await runProgram("eval", ["--model", "runs/no"], env),
        /has no model of this name/,
      );
    })
  ));
