import { assertEquals, assertRejects } from "@std/assert";
import { CheckpointError } from "../../train/checkpoint_error.ts";
import { findConfig, findModel } from "../../train/model_source.ts";
import { REWARD_NAMES } from "../../train/load_reward.ts";
import { findResumePoint } from "../../train/resume_point.ts";
import { similarModel } from "../../train/similar_model.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { HubError } from "../../weights/hub_errors.ts";
import { withFolder } from "../helpers/folder.ts";

const MEANT: [name: string, similar: string | undefined][] = [
  ["gtp2", "gpt2"],
  ["gpt2-meduim", "gpt2-medium"],
  ["GPT2_XL", "gpt2-xl"],
  ["distill-gpt2", "distilgpt2"],
  ["gpt-neo-125m", "EleutherAI/gpt-neo-125M"],
  ["EleuterAI/gpt-neo-125M@main", "EleutherAI/gpt-neo-125M"],
  ["review-gpt2", "weights/review-gpt2"],
  ["weights/review-gtp2", "weights/review-gpt2"],
  ["openai-comunity/gpt2", "openai-community/gpt2"],
  ["gpt2", undefined],
  ["gpt2@main", undefined],
  ["meta-llama/Llama-3.2-1B", undefined],
  ["/none/here", undefined],
  ["x".repeat(10_000), undefined],
];

for (const [name, similar] of MEANT) {
  Deno.test(`similarModel() takes ${name.slice(0, 40)} for ${similar ?? "none"}`, async () => {
    assertEquals(await similarModel(name), similar);
  });
}

Deno.test("an error of a model's name asks for the folder beside it, or the model on the Hub", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/first-run`);
    const path = `${folder}/frist-run`;
    const ends = `; did you mean ${folder}/first-run?`;
    for (const find of [findModel, findConfig]) {
      const { message } = await assertRejects(() => find(path, {}), ModelFolderError);
      assertEquals(message.slice(-ends.length), ends);
    }
    const offline = { offline: true, cacheDir: folder };
    const { message } = await assertRejects(() => findModel("gpt2-larg", offline), HubError);
    assertEquals(message.includes("; did you mean gpt2-large?"), true);
  }));

for (const name of REWARD_NAMES) {
  Deno.test(`a misspelt ${name} asks for the reward`, async () => {
    const slip = name.replace(/(.)(.)(?=.$)/, "$2$1");
    const offline = { offline: true, cacheDir: "/none" };
    const { message } = await assertRejects(
      () => findConfig(slip, offline, REWARD_NAMES),
      HubError,
    );
    assertEquals(message.split("; ").at(-1), `did you mean ${name}?`);
  });
}

Deno.test("a misspelt run asks for the run beside it, and a strange name for none", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/default/checkpoints`, { recursive: true });
    const messageOf = async (run: string) =>
      (await assertRejects(() => findResumePoint(`${folder}/${run}`), CheckpointError)).message;
    for (const slip of ["defualt", "defualt/", "./defualt"]) {
      assertEquals((await messageOf(slip)).split("; ").at(-1), `did you mean ${folder}/default?`);
    }
    assertEquals((await messageOf("other")).split("; ").at(-1), "check the path");
  }));
