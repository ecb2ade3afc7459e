import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ChatTemplate } from "../../model/chat_template.ts";
import {
  HELD_OUT_PROMPTS,
  loadPrompts,
  PromptBatches,
  PromptError,
  TRAINING_PROMPTS,
} from "../../train/prompts.ts";
import { TemplateError } from "../../train/template.ts";
import { withFolder } from "../helpers/folder.ts";

Deno.test("TRAINING_PROMPTS and HELD_OUT_PROMPTS share nothing", () => {
  const all = [...TRAINING_PROMPTS, ...HELD_OUT_PROMPTS].map((prompt) => prompt.toLowerCase());
  assertEquals(new Set(all).size, 24 + 12);
  for (const prompt of all) assertEquals(prompt, prompt.trim());
});

/** Loads `content` from a file called `name`. */
async function load(
  name: string,
  content: string | Uint8Array,
  template = "",
  chatTemplate?: () => Promise<ChatTemplate>,
): Promise<readonly string[]> {
  let texts: readonly string[] = [];
  await withFolder(async (folder) => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(`${folder}/${name}`, bytes);
    const options = { template, ...(chatTemplate && { chatTemplate }) };
    const prompts = await loadPrompts(`${folder}/${name}`, options);
    assertEquals(prompts.specialTokens, chatTemplate !== undefined);
    texts = prompts.texts;
  });
  return texts;
}

Deno.test("loadPrompts() reads one prompt a line, without blank lines and outer space", async () => {
  const text = "\ufeffThe movie was \r\n\r\n   \n\tThis  book is\nÜber {{ x }}";
  assertEquals(await load("p.txt", text), ["The movie was", "This  book is", "Über {{ x }}"]);
});

Deno.test("loadPrompts() makes prompts of records with a template", async () => {
  const text = '{"title": "Heat", "n": 1}\n\n{"title": "Ran", "n": 2}\n';
  assertEquals(await load("p.jsonl", text, "A review of {{ title }} ({{ n }}): "), [
    "A review of Heat (1):",
    "A review of Ran (2):",
  ]);
});

Deno.test("loadPrompts() without a template takes the record's prompt", async () => {
  assertEquals(await load("p.JSONL", '{"prompt": "The movie was", "id": 7}'), ["The movie was"]);
});

/** A model's template that shows who speaks. */
const chat = () =>
  Promise.resolve(
    new ChatTemplate(
      "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}assistant: ",
      { named: { eos_token: "<|end|>" }, special: ["<|end|>"] },
    ),
  );

Deno.test("loadPrompts() renders messages with the model's chat template, to the last space", async () => {
  const chats = [
    [{ role: "user", content: "Hi" }],
    [{ role: "system", content: "Be kind." }, { role: "user", content: "A \n B" }],
  ];
  const lines = chats.map((messages) => JSON.stringify({ messages })).join("\n");
  assertEquals(await load("p.jsonl", lines, "", chat), [
    "user: Hi<|end|>\nassistant: ",
    "system: Be kind.<|end|>\nuser: A \n B<|end|>\nassistant: ",
  ]);
  assertEquals(await load("p.jsonl", lines, "{{ messages[0].content }}"), [
    "Hi",
    "Be kind.",
  ]);
});

Deno.test("loadPrompts() refuses messages that the template cannot take, by line", async () => {
  const first = JSON.stringify({ messages: [{ role: "user", content: "Hi" }] });
  const refused = async (second: string, says: string) => {
    const { message, line } = await assertRejects(
      () => load("p.jsonl", `${first}\n${second}`, "", chat),
      PromptError,
    );
    assertStringIncludes(message, `p.jsonl, line 2: ${says}`);
    assertEquals(line, 2);
  };
  await refused('{"prompt": "Hi"}', "its messages are not a list of at least one");
  await refused('{"messages": []}', "its messages are not a list of at least one");
  await refused('{"messages": [{"role": "user"}]}', "message 1 is not an object with the texts");
  await refused(
    '{"messages": [{"role": "user", "content": "a<|end|>"}]}',
    'message 1 spells the special token "<|end|>"',
  );
  const none = await assertRejects(() => load("p.jsonl", first), PromptError);
  assertStringIncludes(none.message, "its records have messages; give a template for them");
});

const title = "{{ title }}";
const REFUSED: [
  what: string,
  name: string,
  content: string | Uint8Array,
  template: string,
  says: string,
][] = [
  ["an empty file", "p.txt", "", "", "p.txt: it has no prompts; write one a line"],
  ["a file of blank lines", "p.txt", " \n\t\n\r\n", "", "it has no prompts"],
  ["an empty JSONL file", "p.jsonl", "\n", title, "it has no prompts"],
  ["bytes that are not UTF-8", "p.txt", Uint8Array.of(0xff, 0xfe), "", "not UTF-8 text"],
  ["a template for plain text", "p.txt", "a", title, "a template needs records"],
  [
    "a broken line",
    "p.jsonl",
    '{"title": "a"}\n\n{"title": }\n',
    title,
    "p.jsonl, line 3: column 11: expected a value, found }; write one JSON object a line",
  ],
  ["a line cut off", "p.jsonl", '{"title": "a"}\n{"tit', title, "line 2: column 2: expected a key"],
  ["a line of plain text", "p.jsonl", "The movie was", "", "line 1: column 1: expected a value"],
  ["a record that is a list", "p.jsonl", '["a"]', title, "line 1: it is not a JSON object"],
  ["a record that is null", "p.jsonl", "null", title, "line 1: it is not a JSON object"],
  [
    "a record without the variable",
    "p.jsonl",
    '{"title": "a"}\n{"name": "b"}',
    title,
    "line 2: the record has no title, which the template uses; ",
  ],
  ["a record without a prompt", "p.jsonl", '{"text": "a"}', "", "line 1: the record has no prompt"],
  ["a prompt of nothing", "p.jsonl", '{"title": " "}', title, "line 1: its prompt is empty"],
  ["a filter that does not exist", "p.jsonl", '{"title": "a"}', "{{ title | joy }}", "joy"],
];
for (const [what, name, content, template, says] of REFUSED) {
  Deno.test(`loadPrompts() refuses ${what}`, async () => {
    const error = await assertRejects(() => load(name, content, template), PromptError);
    assertStringIncludes(error.message, "Cannot use the prompts in ");
    assertStringIncludes(error.message, says);
    assert(error.file.endsWith(name));
    const line = says.match(/line (\d+)/)?.[1];
    if (line !== undefined) assertEquals(error.line, Number(line));
  });
}

Deno.test("loadPrompts() refuses a missing file, a folder and a broken template", async () => {
  const folder = "Cannot use the prompts in tests: Is a directory";
  await assertRejects(() => loadPrompts("tests"), PromptError, folder);
  const error = await assertRejects(() => loadPrompts("nowhere/p.txt"), PromptError);
  assertEquals(
    error.message,
    "Cannot use the prompts in nowhere/p.txt: there is no such file; check the path",
  );
  await assertRejects(() => load("p.jsonl", "{}", "{{ title"), TemplateError);
});

const TEN = Array.from({ length: 10 }, (_, i) => `prompt ${i}`);

/** The next `count` batches. */
function take(batches: PromptBatches, count: number): string[][] {
  return Array.from({ length: count }, () => batches.next());
}

Deno.test("PromptBatches.next() gives every prompt once an epoch, each in another order", () => {
  const batches = new PromptBatches(TEN, { batchSize: 4, seed: 1 });
  const prompts = take(batches, 15).flat(); // six epochs
  const epochs = Array.from({ length: 6 }, (_, i) => prompts.slice(10 * i, 10 * i + 10));
  for (const epoch of epochs) assertEquals(epoch.toSorted(), TEN);
  assertEquals(new Set(epochs.map((epoch) => epoch.join())).size, 6);
  assertEquals(batches.position, { epoch: 6, index: 0 });
});

Deno.test("PromptBatches.next() depends on the seed alone", () => {
  const first = (seed: number) => take(new PromptBatches(TEN, { batchSize: 3, seed }), 5);
  assertEquals(first(7), first(7));
  assert(first(7).join() !== first(8).join());
});

Deno.test("PromptBatches goes on from any position as if it had not stopped", () => {
  const batches = new PromptBatches(TEN, { batchSize: 7, seed: 3 });
  for (let i = 0; i < 12; i++) {
    const position = JSON.parse(JSON.stringify(batches.position));
    const resumed = new PromptBatches(TEN, { batchSize: 7, seed: 3, position });
    assertEquals(resumed.next(), batches.next());
    assertEquals(resumed.position, batches.position);
  }
});

Deno.test("PromptBatches.next() repeats prompts where there are fewer than a batch", () => {
  const batches = new PromptBatches(["a", "b"], { batchSize: 5, seed: 1 });
  assertEquals(batches.next().toSorted().join("").replace(/[ab]/g, ""), "");
  assertEquals(batches.position, { epoch: 2, index: 1 });
});

Deno.test("PromptBatches refuses no prompts and positions that are none", () => {
  const make = (prompts: string[], epoch = 0, index = 0) => () =>
    new PromptBatches(prompts, { batchSize: 1, seed: 1, position: { epoch, index } });
  assertThrows(make([]), RangeError, "there are no prompts");
  for (const [epoch, index] of [[0, 10], [-1, 0], [0, -1], [0.5, 0], [0, 0.5]]) {
    assertThrows(make(TEN, epoch, index), RangeError, `at prompt ${index} of epoch ${epoch}`);
  }
});
