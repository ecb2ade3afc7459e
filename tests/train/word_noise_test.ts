import { assert, assertEquals, assertThrows } from "@std/assert";
import { loadTokenizer, readTokenizer, TokenizerError } from "../../model/tokenizer.ts";
import { Rng } from "../../train/rng.ts";
import { wordNoise } from "../../train/word_noise.ts";
import { wordPieceJson } from "../../weights/tokenizer_json.ts";
import { trainWordPiece, wordPieceConfig } from "../../weights/train_wordpiece.ts";
import { GPT2 } from "../helpers/goldens.ts";

const [MASK, UNK] = [4, 1];

/** A tokenizer that cuts "lower" into "lo ##w ##er"; `without` takes tokens out of its vocabulary. */
function codecOf(...without: string[]) {
  const bytes = (content: unknown) => new TextEncoder().encode(JSON.stringify(content));
  const json = wordPieceJson(trainWordPiece(["lo lo lo lower lower w w w er er"], 17));
  const { vocab } = json.model as { vocab: Record<string, number> };
  for (const token of without) delete vocab[token];
  return loadTokenizer(bytes(json), bytes(wordPieceConfig(16)));
}

Deno.test("wordNoise() hides whole words behind one [MASK] each, and neither end of the text", () => {
  const codec = codecOf();
  const [lo, ...rest] = codec.encode("lo lower lo");
  const pieces = rest.slice(0, -1);
  assert(pieces.length > 1, "lower must be cut for this test");
  const row = [codec.bosId, lo, ...pieces, lo, codec.eosId];
  const seen = new Set<string>();
  const drop = wordNoise(codec, { dropout: 0.5, crop: 0, rng: new Rng(1) });
  for (let i = 0; i < 200; i++) seen.add(drop(row).join());
  const expected = [[lo], [MASK]].flatMap((a) =>
    [pieces, [MASK]].flatMap((b) =>
      [[lo], [MASK]].map((c) => [codec.bosId, ...a, ...b, ...c, codec.eosId].join())
    )
  );
  assertEquals([...seen].sort(), expected.sort());
});

Deno.test("wordNoise() hides the share of the words that it is told to", () => {
  const codec = codecOf();
  const row = [codec.bosId, ...Array<number>(10_000).fill(codec.encode("w")[0]), codec.eosId];
  const drop = (dropout: number) =>
    wordNoise(codec, { dropout, crop: 0, rng: new Rng(2) })(row).filter((id) => id === MASK).length;
  assert(Math.abs(drop(0.2) - 2000) < 4 * 40, `${drop(0.2)}`); // 4 standard deviations
  assertEquals(drop(0), 0);
});

Deno.test("wordNoise() takes [UNK] where there is no [MASK]", () => {
  const codec = codecOf("[MASK]");
  const [w] = codec.encode("w");
  const row = wordNoise(codec, { dropout: 0.999, crop: 0, rng: new Rng(3) })([w, w, w]);
  assertEquals(row, [UNK, UNK, UNK]);
});

Deno.test("wordNoise() cuts long texts at both ends, to 60 % of the words or more", () => {
  const codec = codecOf();
  const [lo] = codec.encode("lo");
  const lower = codec.encode("lower");
  const [w] = codec.encode("w");
  const noise = wordNoise(codec, { dropout: 0, crop: 0.5, rng: new Rng(4) });
  const short = [codec.bosId, ...Array(12).fill(lo), codec.eosId];
  assertEquals(noise(short), short);

  const long = [codec.bosId, w, ...Array(18).fill(lower).flat(), lo, codec.eosId]; // 20 words
  const rows = Array.from({ length: 400 }, () => noise(long));
  const cut = rows.filter((row) => row.length < long.length);
  const words = cut.map((row) => row.filter((id) => [w, lower[0]].includes(id)).length);
  assert(Math.abs(cut.length - 200 * 8 / 9) < 40, `${cut.length} of 400`); // one in nine keeps all words
  assert(Math.min(...words) >= 11 && Math.max(...words) <= 19, `${words}`);
  assert(rows.every((row) => row[0] === codec.bosId && row.at(-1) === codec.eosId));
  const starts = new Set(cut.map((row) => row[1]));
  assertEquals([...starts].sort(), [w, lower[0]].sort()); // from the first word, or from a later one
});

Deno.test("wordNoise() refuses tokenizers without words", async () => {
  const gpt2 = await readTokenizer(GPT2);
  const options = { dropout: 0.1, crop: 0, rng: new Rng(1) };
  assertThrows(() => wordNoise(gpt2, options), TokenizerError, "no WordPiece");
});
