import { assert, assertThrows } from "@std/assert";
import { mayHang } from "../../model/bounded_regexp.ts";
import { loadTokenizer, TokenizerError } from "../../model/tokenizer.ts";
import { GPT2 } from "../helpers/goldens.ts";

/** Takes long for a text of some hundred characters that is made for it. */
const BAD = [
  "(a+)+$",
  "(a|a)*$",
  "(?:a?){30}b",
  "(?:a{1,9})+$",
  "((?:a+)b?){2,}",
  "(?:(?:a+)+)?$",
  "(?:[[](a+)+)$",
  "(?<x>a+){3}",
  "a*?a*?a*?$",
  "a{1,99}a{1,99}a{1,99}$",
  "a?a?a?a?a?a?a?a?a?b",
  "(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)(?:a|aa)b",
  "(a+)\\1",
  "(?=(a+)+b)",
];

/** Of tokenizers that are in use. */
const GOOD = [
  // GPT-2
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  // GPT-4 and Llama 3
  "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // GPT-4o
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" +
  "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\\p{N}{1,3}",
  // SentencePiece as it is converted, and others
  " {2,}",
  "\\[[(a|b]+",
  "[(+)+]*x",
  "(?:\\r\\n)+|\\n",
];

for (const source of BAD) {
  Deno.test(`mayHang() finds ${source}`, () => assert(mayHang(new RegExp(source, "u"))));
}

for (const source of GOOD) {
  Deno.test(`mayHang() lets ${source.slice(0, 50)} pass`, () => {
    assert(!mayHang(new RegExp(source, "gu")));
  });
}

for (const part of ["pre_tokenizer", "normalizer", "decoder"]) {
  Deno.test(`a tokenizer whose ${part} may hang is refused`, async () => {
    const json = JSON.parse(await Deno.readTextFile(`${GPT2}/tokenizer.json`));
    const load = (pattern: string) => {
      const bad = part === "pre_tokenizer"
        ? { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }
        : { type: "Replace", pattern: { Regex: pattern }, content: "" };
      const key = part === "pre_tokenizer" ? "pretokenizers" : `${part}s`;
      const changed = { ...json, [part]: { type: "Sequence", [key]: [bad] } };
      return loadTokenizer(new TextEncoder().encode(JSON.stringify(changed)));
    };
    load(" {2,}").encode("a  b");
    assertThrows(
      () => load("(a+)+"),
      TokenizerError,
      'Cannot load the tokenizer: tokenizer.json has the regular expression "(a+)+", which may never end; use',
    );
  });
}
