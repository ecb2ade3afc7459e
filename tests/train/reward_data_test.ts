import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  balanceLabels,
  encodeRecords,
  expectClasses,
  readRewardData,
  type RewardData,
} from "../../train/reward_data.ts";
import { TextDataError } from "../../train/text_data.ts";
import { JsonLinesError } from "../../weights/jsonl.ts";
import { withFolder } from "../helpers/folder.ts";

/** Reads what a file of these lines holds. */
async function read(...lines: string[]): Promise<RewardData> {
  let data: RewardData | undefined;
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/data.jsonl`, lines.join("\n"));
    data = await readRewardData(`${folder}/data.jsonl`);
  });
  return data!;
}

/** Encodes a text as its words' lengths, at most three; two labels. */
const MODEL = {
  labels: ["bad", "good"],
  encode: (text: string) => {
    const ids = text.split(" ").map((word) => word.length);
    return { ids: ids.slice(0, 3), truncated: ids.length > 3 };
  },
};

Deno.test("readRewardData() reads labelled texts, and their lines", async () => {
  const { kind, records } = await read(
    '{"text": "fine", "label": 1, "source": "a"}',
    "",
    '{"text": "", "label": "bad", "other": null}\r',
  );
  assertEquals(kind, "labels");
  assertEquals(records, [
    { texts: ["fine"], label: 1, source: "a", line: 1 },
    { texts: [""], label: "bad", source: "", line: 3 },
  ]);
});

Deno.test("readRewardData() puts the prompt before both answers of a pair", async () => {
  const { kind, records } = await read(
    '{"prompt": "It was", "chosen": " good", "rejected": " bad", "source": "b"}',
    '{"chosen": "yes", "rejected": ""}',
  );
  assertEquals(kind, "pairs");
  assertEquals(records, [
    { texts: ["It was good", "It was bad"], label: 0, source: "b", line: 1 },
    { texts: ["yes", ""], label: 0, source: "", line: 2 },
  ]);
});

const LABELLED = '{"text": "fine", "label": 1}';
const PAIR = '{"chosen": "yes", "rejected": "no"}';
const BROKEN: [line: string, first: string, says: string][] = [
  ['{"text": "x", "label": }', LABELLED, "line 2: column 24: expected a value, found }"],
  ["[1]", LABELLED, "line 2: it is not a JSON object"],
  ['{"text": "x"}', LABELLED, `line 2: "label" is missing, it must be a label's name`],
  ['{"text": "x", "label": -1}', LABELLED, 'line 2: "label" is -1'],
  ['{"text": "x", "label": 0.5}', LABELLED, 'line 2: "label" is 0.5'],
  ['{"text": "x", "label": ""}', LABELLED, 'line 2: "label" is ""'],
  ['{"text": ["x"], "label": 1}', LABELLED, 'line 2: "text" is ["x"], it must be a text'],
  ['{"text": "x", "label": 1, "source": 3}', LABELLED, 'line 2: "source" is 3'],
  [PAIR, LABELLED, 'line 2: "label" is missing'],
  [LABELLED, PAIR, 'line 2: "chosen" is missing'],
  ['{"chosen": "x", "rejected": "x"}', PAIR, 'line 2: "chosen" and "rejected" are the same'],
  ['{"prompt": 1, "chosen": "x", "rejected": "y"}', PAIR, 'line 2: "prompt" is 1'],
];
for (const [line, first, says] of BROKEN) {
  Deno.test(`readRewardData() refuses ${line} after ${first}`, () =>
    assertRejects(() => read(first, line), JsonLinesError, says).then(() => {}));
}

Deno.test("readRewardData() refuses a file that is missing or empty", async () => {
  await assertRejects(() => readRewardData("/none.jsonl"), JsonLinesError, "no such file");
  await assertRejects(() => read(" ", ""), TextDataError, "it is empty");
});

Deno.test("encodeRecords() takes labels by name and by number, and counts the texts it cut", async () => {
  const data = await read(
    '{"text": "a bb ccc dddd", "label": "good", "source": "s"}',
    '{"text": "aa", "label": 0}',
  );
  const { examples, truncated } = encodeRecords(data, MODEL, 0.5);
  assertEquals(truncated, 1);
  assertEquals(examples, [
    { rows: [[1, 2, 3]], label: 1, weight: 0.5, source: "s" },
    { rows: [[2]], label: 0, weight: 0.5, source: "" },
  ]);
  const pairs = await read('{"prompt": "a ", "chosen": "a a a", "rejected": "b b b b"}');
  const encoded = encodeRecords(pairs, { ...MODEL, labels: ["score"] });
  assertEquals(encoded.truncated, 2);
  assertEquals(encoded.examples[0].rows, [[1, 1, 1], [1, 1, 1]]);
});

Deno.test("encodeRecords() refuses labels that the model does not have", async () => {
  for (const label of ['"fair"', "2"]) {
    const data = await read(LABELLED, `{"text": "x", "label": ${label}}`);
    assertThrows(
      () => encodeRecords(data, MODEL),
      JsonLinesError,
      `data.jsonl, line 2: its label is ${label}, those of the model are bad, good`,
    );
  }
});

Deno.test("expectClasses() refuses data with one label, and none", async () => {
  const one = await read(LABELLED, LABELLED);
  assertThrows(() => expectClasses(one), TextDataError, "every text has the label 1");
  expectClasses(await read(LABELLED, '{"text": "x", "label": 0}'));
  expectClasses(await read(PAIR));
  const none: RewardData = { file: "data.jsonl", kind: "pairs", records: [] };
  assertThrows(() => expectClasses(none), TextDataError, "data.jsonl: nothing is left of it");
});

Deno.test("balanceLabels() gives each label the same total weight and keeps the mean", () => {
  const examples = [0, 1, 1, 1].map((label) => ({ rows: [[1]], label, weight: 0.5, source: "" }));
  const weights = balanceLabels(examples).map(({ weight }) => weight);
  assertEquals(weights, [1, 1 / 3, 1 / 3, 1 / 3]);
});
