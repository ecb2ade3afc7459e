import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { SafetensorsError } from "../../weights/errors.ts";
import {
  encodeSafetensorsHeader,
  parseSafetensorsHeader,
} from "../../weights/safetensors_header.ts";

/** The bytes of a file with this header, as text or to be JSON, and so many bytes of numbers. */
function fileOf(header: unknown, dataBytes: number): Uint8Array {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

function parse(bytes: Uint8Array) {
  return parseSafetensorsHeader(bytes, bytes.length, "m.safetensors");
}

const A = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
const B = { dtype: "F32", shape: [1, 3], data_offsets: [8, 20] };

Deno.test("parseSafetensorsHeader() lists tensors in the order of their bytes", () => {
  const header = { "__metadata__": { format: "pt" }, "10": B, "9": A };
  const { tensors, metadata } = parse(fileOf(header, 20));
  const dataStart = 8 + JSON.stringify(header).length;
  assertEquals([...tensors], [
    ["9", { dtype: "F32", shape: [2], byteOffset: dataStart, byteLength: 8 }],
    ["10", { dtype: "F32", shape: [1, 3], byteOffset: dataStart + 8, byteLength: 12 }],
  ]);
  assertEquals(metadata, { format: "pt" });
});

Deno.test("parseSafetensorsHeader() takes scalars, empty tensors and no tensors", () => {
  const header = {
    empty: { dtype: "F32", shape: [0, 7], data_offsets: [8, 8] },
    scalar: { dtype: "I64", shape: [], data_offsets: [0, 8] },
  };
  assertEquals([...parse(fileOf(header, 8)).tensors.keys()], ["scalar", "empty"]);
  assertEquals(parse(fileOf({}, 0)).tensors.size, 0);
});

const BROKEN: { what: string; header: unknown; dataBytes?: number; says: string }[] = [
  { what: "a header that is not JSON", header: '{"a": }', says: "line 1, column 7" },
  { what: "a header that is not an object", header: "[]", says: "not a JSON object" },
  { what: "an empty header", header: "", says: "the text ends" },
  {
    what: "a tensor named twice",
    header: `{"a":${JSON.stringify(A)},"a":${JSON.stringify(A)}}`,
    says: 'the key "a" appears twice',
  },
  { what: "metadata that are not strings", header: { "__metadata__": { n: 1 } }, says: "strings" },
  { what: "metadata that are a list", header: { "__metadata__": ["pt"] }, says: "strings" },
  { what: "a tensor that is not an object", header: { a: 3 }, says: 'tensor "a" is not described' },
  { what: "no dtype", header: { a: { ...A, dtype: undefined } }, says: "unknown dtype nothing" },
  { what: "an unknown dtype", header: { a: { ...A, dtype: "F31" } }, says: 'dtype "F31"' },
  { what: "an inherited dtype", header: { a: { ...A, dtype: "toString" } }, says: "unknown dtype" },
  { what: "no shape", header: { a: { ...A, shape: undefined } }, says: "shape" },
  { what: "a negative size", header: { a: { ...A, shape: [-2] } }, says: "whole numbers" },
  { what: "a broken size", header: { a: { ...A, shape: [2.5] } }, says: "whole numbers" },
  { what: "a size that is text", header: { a: { ...A, shape: ["2"] } }, says: "whole numbers" },
  { what: "an inexact size", header: { a: { ...A, shape: [2 ** 53] } }, says: "whole numbers" },
  {
    what: "a product that overflows to 0 in 64 bits",
    header: { a: { ...A, shape: [2 ** 32, 2 ** 32], data_offsets: [0, 0] } },
    says: "has 0 bytes by its data_offsets",
  },
  { what: "no offsets", header: { a: { ...A, data_offsets: undefined } }, says: "data_offsets" },
  { what: "one offset", header: { a: { ...A, data_offsets: [0] } }, says: "data_offsets" },
  {
    what: "offsets backwards",
    header: { a: { ...A, data_offsets: [8, 0] } },
    says: "has -8 bytes",
  },
  {
    what: "offsets that do not fit the shape",
    header: { a: { ...A, shape: [3] } },
    says: "has 8 bytes by its data_offsets, but F32 [3] takes 12",
  },
  {
    what: "a gap before the first tensor",
    header: { a: { ...A, data_offsets: [4, 12] } },
    dataBytes: 12,
    says: '4 unused bytes precede tensor "a"',
  },
  {
    what: "a gap between tensors",
    header: { a: A, b: { ...B, data_offsets: [12, 24] } },
    dataBytes: 24,
    says: '4 unused bytes precede tensor "b"',
  },
  {
    what: "an overlap",
    header: { a: A, b: { ...B, data_offsets: [4, 16] } },
    dataBytes: 16,
    says: 'tensor "b" shares 4 bytes',
  },
  { what: "two names for the same bytes", header: { a: A, b: A }, says: "shares 8 bytes" },
  { what: "bytes after the last tensor", header: { a: A }, dataBytes: 9, says: "1 bytes follow" },
  { what: "numbers cut off", header: { a: A, b: B }, dataBytes: 19, says: "it is cut off" },
];
for (const { what, header, dataBytes = 8, says } of BROKEN) {
  Deno.test(`parseSafetensorsHeader() refuses ${what}`, () => {
    const error = assertThrows(() => parse(fileOf(header, dataBytes)), SafetensorsError);
    assertStringIncludes(error.message, "Cannot read m.safetensors: ");
    assertStringIncludes(error.message, says);
    assertStringIncludes(error.message, "; download or save the file again");
    assertEquals(error.file, "m.safetensors");
  });
}

Deno.test("parseSafetensorsHeader() names the tensor at fault", () => {
  const bytes = fileOf({ a: A, b: { ...B, dtype: "?" } }, 20);
  assertEquals(assertThrows(() => parse(bytes), SafetensorsError).tensor, "b");
});

Deno.test("parseSafetensorsHeader() refuses a file cut off anywhere", () => {
  const bytes = fileOf({ a: A, b: B }, 20);
  parse(bytes);
  for (let size = 0; size < bytes.length; size++) {
    const error = assertThrows(() => parse(bytes.subarray(0, size)), SafetensorsError);
    assertStringIncludes(error.message, "it is cut off", `at ${size} bytes`);
  }
});

Deno.test("parseSafetensorsHeader() refuses a header length outside the file", () => {
  for (const length of [1n, 100_000_001n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    assertThrows(() => parse(bytes), SafetensorsError, "header");
  }
});

Deno.test("parseSafetensorsHeader() refuses a header that is not UTF-8", () => {
  const bytes = fileOf('{"a":1}', 0);
  bytes[10] = 0xff;
  assertThrows(() => parse(bytes), SafetensorsError, "not UTF-8");
});

Deno.test("encodeSafetensorsHeader() writes what the parser reads, aligned to eight bytes", () => {
  for (const name of ["a", "ab", "abc", "é", '"']) {
    const tensors = [{ name, shape: [3, 1] }, { name: "1", shape: [] }];
    const header = encodeSafetensorsHeader(tensors, {
      dtype: "F32",
      metadata: { format: "pt" },
      file: "m",
    });
    assertEquals(header.length % 8, 0);
    const parsed = parseSafetensorsHeader(header, header.length + 16);
    assertEquals([...parsed.tensors], [
      [name, { dtype: "F32", shape: [3, 1], byteOffset: header.length, byteLength: 12 }],
      ["1", { dtype: "F32", shape: [], byteOffset: header.length + 12, byteLength: 4 }],
    ]);
  }
});

Deno.test("encodeSafetensorsHeader() refuses names that are taken and impossible shapes", () => {
  const encode = (...tensors: { name: string; shape: number[] }[]) => () =>
    encodeSafetensorsHeader(tensors, { dtype: "F32", metadata: {}, file: "m" });
  const a = { name: "a", shape: [1] };
  assertThrows(encode(a, a), SafetensorsError, 'tensor "a" to m: its name is taken');
  assertThrows(encode({ name: "__metadata__", shape: [] }), SafetensorsError, "is taken");
  assertThrows(encode({ name: "b", shape: [0.5] }), SafetensorsError, "its shape is [0.5]");
  assert(encode(a)().length > 8);
});
