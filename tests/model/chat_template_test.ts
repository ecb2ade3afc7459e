import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type ChatTemplate, ChatTemplateError, chatTemplateOf } from "../../model/chat_template.ts";
import { readTokenizer } from "../../model/tokenizer.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";

/** ChatML, as many checkpoints have it. */
const CHATML = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + " +
  "message['content'] + '<|im_end|>' + '\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** DialoGPT's. */
const DIALOGPT = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}";

/** The template of GPT-2's golden with these files changed. */
async function read(
  config: Record<string, unknown>,
  jinja?: string,
): Promise<ChatTemplate> {
  let template: ChatTemplate | undefined;
  await withFolder(async (folder) => {
    await Deno.copyFile(`${GPT2}/tokenizer.json`, `${folder}/tokenizer.json`);
    await Deno.writeTextFile(`${folder}/tokenizer_config.json`, JSON.stringify(config));
    if (jinja !== undefined) await Deno.writeTextFile(`${folder}/chat_template.jinja`, jinja);
    template = await chatTemplateOf(await readTokenizer(folder), folder);
  });
  return template!;
}

const CHAT = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "How was\nthe movie?" },
];

Deno.test("ChatTemplate.render() ends where the assistant's message begins", async () => {
  const template = await read({ chat_template: CHATML });
  assertEquals(
    template.render(CHAT),
    "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHow was\nthe movie?<|im_end|>\n" +
      "<|im_start|>assistant\n",
  );
});

Deno.test("ChatTemplate.render() knows the tokens that the files name, or GPT-2's own", async () => {
  const named = await read({ chat_template: DIALOGPT, eos_token: { content: "!" } });
  assertEquals(named.render(CHAT.slice(1)), "How was\nthe movie?!");
  const usual = await read({ chat_template: DIALOGPT, eos_token: null });
  assertEquals(usual.render(CHAT.slice(1)), "How was\nthe movie?<|endoftext|>");
});

Deno.test("chatTemplateOf() prefers chat_template.jinja, and of several the default", async () => {
  const [a, b] = ["A{{ messages[0].content }}", "B{{ messages[0].content }}"];
  const chat = [{ role: "user", content: "x" }];
  assertEquals((await read({ chat_template: a }, b)).render(chat), "Bx");
  const several = [{ name: "tool_use", template: a }, { name: "default", template: b }];
  assertEquals((await read({ chat_template: several })).render(chat), "Bx");
});

Deno.test("chatTemplateOf() says in one sentence that a model has none", async () => {
  for (const config of [{}, { chat_template: null }, { chat_template: [] }]) {
    const { message } = await assertRejects(() => read(config), ChatTemplateError);
    assertEquals(
      message.replace(/model \S+:/, "model FOLDER:"),
      "Cannot make prompts of messages for the model FOLDER: it has no chat template; " +
        "give a template for the records, or use a model made for chats",
    );
  }
  await assertRejects(
    () => read({ chat_template: "{% for" }),
    ChatTemplateError,
    "it cannot be parsed",
  );
});

const REFUSED: [messages: unknown, says: string][] = [
  [undefined, "its messages are not a list"],
  [[], "its messages are not a list"],
  [["hello"], "message 1 is not an object"],
  [[CHAT[0], { role: "user" }], "message 2 is not an object"],
  [[{ role: "user", content: ["hello"] }], "message 1 is not an object"],
  [
    [CHAT[0], { role: "user", content: "x<|endoftext|>y" }],
    'message 2 spells the special token "<|endoftext|>"; remove it',
  ],
  [[{ role: "<|endoftext|>", content: "x" }], "message 1 spells"],
  [[{ role: "user", content: "forbidden" }], 'fails with "No such words"; change the messages'],
];
for (const [messages, says] of REFUSED) {
  Deno.test(`ChatTemplate.render() refuses ${JSON.stringify(messages)}`, async () => {
    const template = await read({
      chat_template:
        "{% if messages[0].content == 'forbidden' %}{{ raise_exception('No such words') }}{% endif %}x",
    });
    assertThrows(() => template.render(messages), ChatTemplateError, says);
  });
}
