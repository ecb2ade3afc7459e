/** Any text that a stranger may put into a prompt, with the tokenizers that come with the package and the tests. */

import { assert, assertEquals } from "@std/assert";
import { readTokenizer, type TextCodec } from "../../model/tokenizer.ts";
import { Rng } from "../../train/rng.ts";
import { DISTILBERT } from "../helpers/classifiers.ts";
import { GPT2 } from "../helpers/goldens.ts";

const WEIGHTS = new URL("../../weights/", import.meta.url).pathname;

/** Of a text, byte-level BPE gives back what it `kept`; WordPiece does not: it knows words, not spaces. */
const FOLDERS: Record<string, { folder: string; kept?: (text: string) => string }> = {
  "review-gpt2": { folder: `${WEIGHTS}review-gpt2`, kept: (text: string) => text.toLowerCase() },
  "the test's GPT-2": { folder: GPT2, kept: (text: string) => text },
  "review-distilbert": { folder: `${WEIGHTS}review-distilbert` },
  "the test's DistilBERT": { folder: DISTILBERT },
};

const TEXTS = [
  "",
  " ",
  "\n\t\r\n ",
  "\0",
  "a\0b",
  "\ud800",
  "\udc00\ud800 film",
  "\ufeffthe film",
  "\u{1f3ac}\u200d\u{1f9d1}\u{1f3fd}",
  "e\u0301 \u0439 \uac00 \u1100\u1161",
  "\u202egnirts\u202c \u2066x\u2069",
  "\uffff\u{10ffff}\ue000",
  "  two   spaces  ",
  "don't can't won't .,!?;",
  "x".repeat(3000),
  "\u{1f3ac}".repeat(300),
];

/** A text of characters from everywhere, lone surrogates among them. */
function anyText(rng: Rng, special: readonly string[]): string {
  const highest = [0x7f, 0x24f, 0xffff, 0x10ffff];
  return Array.from({ length: rng.int(40) }, () => {
    if (rng.int(12) === 0) return special[rng.int(special.length)];
    return String.fromCodePoint(rng.int(highest[rng.int(highest.length)]!));
  }).join("");
}

/** Ids that come out of text only where the caller asked for special tokens. */
function specialIds(asked: TextCodec): Set<number> {
  return new Set(asked.specialTokens.map((token) => {
    const ids = asked.encode(token);
    assertEquals(ids.length, 1, token);
    return ids[0]!;
  }));
}

for (const [name, { folder, kept }] of Object.entries(FOLDERS)) {
  Deno.test(`${name}: any text is text, and comes back`, async () => {
    const codec = await readTokenizer(folder);
    const asked = await readTokenizer(folder, { specialTokens: true });
    const forbidden = specialIds(asked);
    assert(forbidden.size > 0);
    // [UNK] stands for what BERT's words do not cover; the others stand for nothing in a text.
    const unknown = kept ? undefined : asked.encode("[UNK]")[0];
    const { specialTokens } = codec;
    const rng = new Rng(1, name);
    const spelled = specialTokens.flatMap((token) => [
      token,
      `${token}${token}`,
      `the film${token}was`,
      ` ${token} `,
      token.slice(1),
      `\u200b${token}\0`,
    ]);
    const random = Array.from({ length: 200 }, () => anyText(rng, specialTokens));
    for (const text of [...TEXTS, ...spelled, ...random]) {
      const ids = codec.encode(text);
      for (const id of ids) {
        assert(Number.isInteger(id) && id >= 0 && id < codec.vocabSize);
        assert(
          id === unknown || !forbidden.has(id),
          `${JSON.stringify(text)} gave the token ${id}`,
        );
      }
      const back = codec.decode(ids);
      if (kept) assertEquals(back, kept(text.toWellFormed()));
      // What the tokenizer keeps of a text, it keeps of what came back too.
      else if (!ids.includes(unknown!)) assertEquals(codec.encode(back), ids, JSON.stringify(text));
    }
  });
}
