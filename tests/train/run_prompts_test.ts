import { assert, assertEquals } from "@std/assert";
import { toPeftConfig } from "../../model/adapter_config.ts";
import { readTokenizer } from "../../model/tokenizer.ts";
import { runPrompts } from "../../train/run_prompts.ts";
import { withFolder } from "../helpers/folder.ts";
import { copyGpt2, GPT2 } from "../helpers/goldens.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";

/** DialoGPT's template: turns end with the end of text. */
const TEMPLATE = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}";

const CHATS = [
  { messages: [{ role: "user", content: "the movie" }] },
  {
    messages: [
      { role: "user", content: "hello" },
      { role: "assistant", content: "hi" },
      { role: "user", content: "the film" },
    ],
  },
];

/** Makes `folder` a model that chats, in `model`, and a file of chats. */
async function writeChats(folder: string): Promise<string> {
  await copyGpt2(`${folder}/model`);
  await Deno.writeTextFile(`${folder}/model/chat_template.jinja`, TEMPLATE);
  const path = `${folder}/chats.jsonl`;
  await Deno.writeTextFile(path, CHATS.map((chat) => JSON.stringify(chat)).join("\n"));
  return path;
}

Deno.test("runPrompts() gives the built-in prompts, those of a file, or chats for the model", () =>
  withFolder(async (folder) => {
    const path = await writeChats(folder);
    const settings = { model: `${folder}/model`, prompts: "", template: "", specialTokens: false };
    const run = (changed: Partial<typeof settings>) =>
      runPrompts({ ...settings, ...changed }, { hub: {}, builtIn: ["The movie was"] });
    assertEquals(await run({}), { texts: ["The movie was"], specialTokens: false });
    assertEquals(await run({ specialTokens: true }), {
      texts: ["The movie was"],
      specialTokens: true,
    });
    const template = "{{ messages[0].content }}";
    assertEquals(await run({ prompts: path, template }), {
      texts: ["the movie", "hello"],
      specialTokens: false,
    });

    const chats = await run({ prompts: path });
    const end = "<|endoftext|>";
    assertEquals(chats, {
      texts: [`the movie${end}`, `hello${end}hi${end}the film${end}`],
      specialTokens: true,
    });
    const { encode, eosId } = await readTokenizer(`${folder}/model`, chats);
    assertEquals(encode(chats.texts[1]).filter((id) => id === eosId).length, 3);

    // Adapters have neither a template nor a tokenizer; the model that they are put on has.
    const lora = { rank: 2, alpha: 4, targets: ["c_attn"], baseModel: `${folder}/model` };
    const config = JSON.stringify(toPeftConfig(lora, { fanInFanOut: true }));
    await Deno.mkdir(`${folder}/adapters`);
    await Deno.writeTextFile(`${folder}/adapters/adapter_config.json`, config);
    assertEquals(await run({ model: `${folder}/adapters`, prompts: path }), chats);
  }));

Deno.test("train and eval take chats, and a checkpoint keeps the chat template", () =>
  withFolder(async (folder) => {
    const path = await writeChats(folder);
    const sizes = ["--batch-size", "2", "--mini-batch-size", "2", "--epochs", "1"];
    const { code, stderr } = await runProgram("train", [
      ...["--model", `${folder}/model`, "--prompts", path, "--reward", "heuristic", "--steps", "1"],
      ...[...sizes, "--max-new-tokens", "4", "--eval-responses", "0", "--out", `${folder}/run`],
    ]);
    assertEquals([code, stderr], [0, ""]);
    const config = JSON.parse(await Deno.readTextFile(`${folder}/run/config.json`));
    assertEquals(config.specialTokens, true);
    const samples = await Deno.readTextFile(`${folder}/run/samples.jsonl`);
    assert(samples.includes("hello<|endoftext|>hi<|endoftext|>the film<|endoftext|>"));
    const saved = `${folder}/run/checkpoints/step-000001/chat_template.jinja`;
    assertEquals(await Deno.readTextFile(saved), TEMPLATE);

    const args = ["--model", `${folder}/run`, "--prompts", path, "--responses", "2"];
    const evaluated = await runProgram("eval", [...args, "--max-new-tokens", "4"]);
    assertEquals([evaluated.code, evaluated.stderr], [0, ""]);
  }));

Deno.test("train says in one sentence that a model has no chat template", () =>
  withFolder(async (folder) => {
    const path = await writeChats(folder);
    assertRefused(
      await runProgram("train", ["--model", GPT2, "--prompts", path, "--out", `${folder}/run`]),
      /Cannot make prompts of messages for the model .*gpt2: it has no chat template; give a template/,
    );
  }));
