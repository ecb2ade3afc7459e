import { assertEquals, assertThrows } from "@std/assert";
import { JsonError } from "../../weights/errors.ts";
import { parseJson } from "../../weights/json.ts";

const VALID = [
  "0",
  "-12.5e+3",
  "null",
  ' "a \\"quoted\\" \\u00e9\\n" ',
  "[]",
  "{}",
  '{"a": [1, {"b": true}, []], "c": {}, "": "\u2028"}',
  '[{"a":1},{"a":2}]',
  '{"a": {"a": {"a": 1}}}',
  `${"[".repeat(20_000)}${"]".repeat(20_000)}`, // deeper than a recursive walk could go
];
for (const text of VALID) {
  Deno.test(`parseJson() reads ${text.slice(0, 50)}`, () => {
    assertEquals(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)));
  });
}

const BROKEN = {
  "": "line 1, column 1: the text ends where a value should be",
  "\n  ": "line 2, column 3: the text ends where a value should be",
  "nope": "line 1, column 1: expected a value",
  "01": "line 1, column 2: expected the end, found 1",
  "[1,]": "line 1, column 4: expected a value, found ]",
  "[1 2]": "line 1, column 4: expected , or ], found 2",
  "[1}": "line 1, column 3: expected , or ], found }",
  '{"a":1,}': "line 1, column 8: expected a key, found }",
  '{"a":1': "line 1, column 7: the text ends where , or } should be",
  '{\n  "a" 1}': "line 2, column 7: expected :, found 1",
  "{a: 1}": "line 1, column 2: expected a key or }",
  '{"a": "unclosed}': "line 1, column 7: expected a value",
  '{"a": "two\nlines"}': "line 1, column 7: expected a value",
  '{"a": "\\x"}': "line 1, column 7: expected a value",
  "{} {}": "line 1, column 4: expected the end, found {",
  '{"a": 1, "b": {"a": 2}, "a": 3}': 'line 1, column 25: the key "a" appears twice',
  '{"a": 1, "\\u0061": 2}': 'line 1, column 10: the key "\\u0061" appears twice',
};
for (const [text, message] of Object.entries(BROKEN)) {
  Deno.test(`parseJson() says where ${JSON.stringify(text)} is broken`, () => {
    assertEquals(assertThrows(() => parseJson(text), JsonError).message, message);
  });
}

Deno.test("parseJson() accepts exactly what JSON.parse accepts, but for double keys", () => {
  const text = '{"a": [1, -2.5e3, "x\\n", true, null], "b": {"c": []}}';
  for (let at = 0; at < text.length; at++) {
    for (const change of ["", "}", "]", ",", ":", '"', "\\", "0", "t", "-", "."]) {
      const changed = text.slice(0, at) + change + text.slice(at + 1);
      assertEquals(accepts(parseJson, changed), accepts(JSON.parse, changed), changed);
    }
  }
});

function accepts(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

Deno.test("parseJson() reads UTF-8 with a byte order mark", () => {
  assertEquals(parseJson(new TextEncoder().encode('\ufeff{"é": 1}')), { "é": 1 });
});

Deno.test("parseJson() refuses bytes that are not UTF-8", () => {
  assertThrows(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22)), JsonError, "not UTF-8");
});
