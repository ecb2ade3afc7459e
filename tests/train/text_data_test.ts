import { assert, assertEquals, assertRejects } from "@std/assert";
import { readTokenizer } from "../../model/tokenizer.ts";
import { Rng } from "../../train/rng.ts";
import {
  type Documents,
  epochTokens,
  packedBatches,
  readDocuments,
  TextDataError,
  validationBatches,
} from "../../train/text_data.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";

const EOS = 0;

/** Documents of these lengths; all of their ids differ, from 1 on. */
function documents(...lengths: number[]): Documents {
  const starts = Uint32Array.from([0, ...lengths]);
  for (let i = 1; i < starts.length; i++) starts[i] += starts[i - 1];
  return { ids: Uint32Array.from({ length: starts.at(-1)! }, (_, i) => i + 1), starts, bytes: 0 };
}

/** What the rows ask a model to predict: every id but a row's first. */
function targets(rows: readonly (readonly number[])[]): number[] {
  return rows.flatMap((row) => row.slice(1));
}

function pack(data: Documents, options: { batchSize: number; length: number; seed?: number }) {
  return packedBatches(data, { ...options, eosId: EOS, rng: new Rng(options.seed ?? 1, "test") });
}

/** The first `count` ids that packing gives out as targets. */
function stream(data: Documents, count: number, options: { length: number; seed?: number }) {
  const found: number[] = [];
  for (const { inputIds } of pack(data, { batchSize: 1, ...options })) {
    found.push(...targets(inputIds));
    if (found.length >= count) return found.slice(0, count);
  }
  throw new Error("packing never ends");
}

Deno.test("packedBatches() makes a target of every token once an epoch", () => {
  const data = documents(3, 1, 7, 2, 5);
  const perEpoch = epochTokens(data);
  assertEquals(perEpoch, 18 + 5);
  for (const length of [1, 4, 5, 50]) {
    // The end of text before the very first document is not a target; it is before all others.
    const found = [EOS, ...stream(data, 3 * perEpoch - 1, { length })];
    const sorted = [...Array(5).fill(EOS), ...data.ids];
    for (let epoch = 0; epoch < 3; epoch++) {
      const ids = found.slice(epoch * perEpoch, (epoch + 1) * perEpoch);
      assertEquals(ids.toSorted((a, b) => a - b), sorted, `length ${length}, epoch ${epoch}`);
    }
  }
});

Deno.test("packedBatches() keeps documents whole and in order, an end of text before each", () => {
  const found = [EOS, ...stream(documents(3, 1, 2), 2 * 9 - 1, { length: 4 })];
  const pieces = found.join(" ").split(`${EOS} `).slice(1).map((piece) => piece.trim());
  assertEquals(pieces.toSorted(), ["1 2 3", "1 2 3", "4", "4", "5 6", "5 6"]);
});

Deno.test("packedBatches() gives rows of length + 1 that overlap by one, batchSize at a time", () => {
  const batches = pack(documents(9, 9, 9), { batchSize: 3, length: 4 });
  const rows = [...batches.next().value.inputIds, ...batches.next().value.inputIds];
  assertEquals(rows.length, 6);
  for (const [i, row] of rows.entries()) {
    assertEquals(row.length, 5);
    if (i > 0) assertEquals(row[0], rows[i - 1].at(-1));
  }
});

Deno.test("packedBatches() shuffles anew every epoch, and as the seed says", () => {
  const data = documents(...Array(20).fill(1));
  const order = (seed: number) => stream(data, 79, { length: 2, seed }).filter((id) => id !== EOS);
  const [first, second] = [order(1).slice(0, 20), order(1).slice(20, 40)];
  assertEquals(order(1).slice(0, 20), first);
  assert(first.join() !== second.join());
  assert(order(2).slice(0, 20).join() !== first.join());
});

/** Targets of padded rows. */
function maskedTargets(
  batches: readonly {
    inputIds: readonly (readonly number[])[];
    attentionMask: readonly (readonly number[])[];
  }[],
): number[] {
  return batches.flatMap(({ inputIds, attentionMask }) =>
    inputIds.flatMap((row, b) => row.filter((_, t) => t > 0 && attentionMask[b][t] === 1))
  );
}

Deno.test("validationBatches() makes a target of every token and end of text, once", () => {
  const data = documents(3, 1, 12, 2);
  for (const length of [2, 3, 5, 13, 14, 100]) {
    const batches = validationBatches(data, { batchSize: 2, length, eosId: EOS });
    const expected = [...Array(4).fill(EOS), ...data.ids]; // the end of every document
    const found = maskedTargets(batches).toSorted((a, b) => a - b);
    assertEquals(found, expected, `length ${length}`);
    const rows = batches.flatMap(({ inputIds }) => inputIds);
    assert(rows.every((row) => row.length <= length && row.length >= 2));
  }
});

Deno.test("validationBatches() pads on the right", () => {
  const [batch] = validationBatches(documents(3, 1), { batchSize: 2, length: 9, eosId: EOS });
  assertEquals(batch.inputIds, [[0, 4, 0, 0, 0], [0, 1, 2, 3, 0]]);
  assertEquals(batch.attentionMask, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]);
});

Deno.test("readDocuments() takes one document a line and counts UTF-8 bytes with line ends", () =>
  withFolder(async (folder) => {
    const codec = await readTokenizer(GPT2);
    const path = `${folder}/text.txt`;
    await Deno.writeTextFile(path, "the film\r\n\n  \nüber alles");
    const { ids, starts, bytes } = await readDocuments(path, codec);
    const texts = Array.from(
      { length: starts.length - 1 },
      (_, i) => codec.decode(ids.subarray(starts[i], starts[i + 1])),
    );
    assertEquals(texts, ["the film", "über alles"]);
    assertEquals(bytes, 9 + 12);
  }));

Deno.test("readDocuments() refuses a missing file and one without text", () =>
  withFolder(async (folder) => {
    const codec = await readTokenizer(GPT2);
    const missing = `${folder}/none.txt`;
    await assertRejects(() => readDocuments(missing, codec), TextDataError, missing);
    const blank = `${folder}/blank.txt`;
    await Deno.writeTextFile(blank, "\n \r\n\t\n");
    await assertRejects(() => readDocuments(blank, codec), TextDataError, "blank.txt: it has no");
  }));
