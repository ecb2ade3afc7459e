import { assert, assertEquals } from "@std/assert";
import { sampleTable } from "../../train/sample_table.ts";
import { columnsOf, visible, wrap } from "../../train/shown_text.ts";

Deno.test("visible() spells out what steers a terminal or cannot be seen, and leaves the rest", () => {
  const rest = "a film \u00e9 \u{1f3ac} \u4e2d\u6587 \\ \u05d0";
  assertEquals(visible(rest), rest);
  assertEquals(
    visible("a\nb\tc\rd\u0000\u001b[2J\u007f\u009b1A\u202eabc\u2028\ufeff"),
    "a\\nb\\tc\\rd\\x00\\x1b[2J\\x7f\\x9b1A\\u202eabc\\u2028\\ufeff",
  );
});

Deno.test("columnsOf() counts as a terminal does", () => {
  const texts = [
    "film",
    "caf\u00e9",
    "cafe\u0301",
    "\u4e2d\u6587",
    "\u{1f3ac}",
    "\u{1f469}\u200d\u{1f680}",
    "\u2600",
  ];
  assertEquals(texts.map(columnsOf), [4, 4, 4, 4, 2, 2, 1]);
});

Deno.test("wrap() breaks between words, and within words that are too long, by columns", () => {
  assertEquals(wrap("the film is good", 8), ["the film", "is good"]);
  assertEquals(wrap("unbelievable film", 5), ["unbel", "ievab", "le", "film"]);
  assertEquals(wrap("\u4e2d\u6587\u4e2d\u6587", 5), ["\u4e2d\u6587", "\u4e2d\u6587"]);
  assertEquals(wrap("", 5), [""]);
  assertEquals(wrap("\u4e2d", 1), ["\u4e2d"]); // there is no narrower piece
});

const SAMPLES = [
  {
    prompt: "The movie was",
    response: " a fine piece of work, and the cast is good. ".repeat(3),
    score: 1.25,
  },
  { prompt: "\u4e2d\u6587", response: "\x1b]0;title\x07", score: -0.5 },
  { prompt: "x".repeat(80), response: "", score: 0 },
];

for (const columns of [20, 60, 80, 120, Infinity]) {
  Deno.test(`sampleTable() shows whole texts in ${columns} columns`, () => {
    const lines = sampleTable(SAMPLES, columns);
    for (const line of lines) assert(columnsOf(line) <= Math.max(40, Math.min(120, columns)), line);
    assertEquals(lines[0]!.split(/\s+/), ["prompt", "response", "reward"]);
    const letters = (text: string) => text.replaceAll(/\s/g, "").split("").toSorted().join("");
    const titles = "promptresponsereward";
    const cells = SAMPLES.map(({ prompt, response, score }) =>
      prompt + visible(response) + score.toFixed(2)
    );
    assertEquals(letters(lines.join("")), letters(titles + cells.join("")));
  });
}

Deno.test("sampleTable() puts the reward beside the first line of a sample", () => {
  assertEquals(sampleTable([{ prompt: "It is", response: "a b ".repeat(10), score: 2 }], 40), [
    "prompt  response                  reward",
    "It is   a b a b a b a b a b a b     2.00",
    "        a b a b a b a b",
  ]);
});
