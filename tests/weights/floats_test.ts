import { assertEquals } from "@std/assert";
import { decodeFloats, encodeFloats, firstOverflow, type FloatType } from "../../weights/floats.ts";

/** The 32-bit floats that 16 stored bits stand for. */
function decoded(dtype: FloatType, ...stored: number[]): number[] {
  const out = new Float32Array(stored.length);
  decodeFloats(new Uint8Array(Uint16Array.from(stored).buffer), dtype, out);
  return [...out];
}

/** The 16 bits that each number is stored as. */
function encoded(dtype: FloatType, ...numbers: number[]): string[] {
  const { buffer, byteOffset, length } = encodeFloats(Float32Array.from(numbers), dtype);
  const stored = new Uint16Array(buffer, byteOffset, length / 2);
  return Array.from(stored, (bits) => bits.toString(16).padStart(4, "0"));
}

Deno.test("decodeFloats() reads halves and bfloat16s, the extreme ones too", () => {
  // IEEE 754 binary16: 1, -2, the largest, the smallest, the largest below normal, -0, infinity.
  assertEquals(
    decoded("F16", 0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8000, 0x7c00),
    [1, -2, 65504, 2 ** -24, 1023 * 2 ** -24, -0, Infinity],
  );
  assertEquals(
    decoded("BF16", 0x3f80, 0xc000, 0x7f7f, 0x0001, 0x8000, 0xff80, 0x3eab),
    [1, -2, 2 ** 128 - 2 ** 120, 2 ** -133, -0, -Infinity, 0.333984375],
  );
});

for (const dtype of ["F16", "BF16"] as const) {
  Deno.test(`encodeFloats() gives back every ${dtype}`, () => {
    const stored = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
    const out = new Float32Array(stored.length);
    decodeFloats(new Uint8Array(stored.buffer), dtype, out);
    const again = new Float32Array(stored.length);
    decodeFloats(encodeFloats(out, dtype) as Uint8Array<ArrayBuffer>, dtype, again);
    assertEquals(again, out); // by value, since all NaN become one
    for (let i = 0; i < out.length; i++) {
      if (!Object.is(again[i], out[i])) throw new Error(`${out[i]} became ${again[i]}`);
    }
  });
}

Deno.test("encodeFloats() rounds to the nearest, and from the middle to the even one", () => {
  const step = 2 ** -10; // of halves from 1 to 2
  assertEquals(
    encoded("F16", 1 + step / 2, 1 + 1.5 * step, 1 + 0.51 * step, -1 - 1.5 * step, 2 ** -25, 3e-8),
    ["3c00", "3c02", "3c01", "bc02", "0000", "0001"],
  );
  const wide = 2 ** -7; // of bfloat16s from 1 to 2
  assertEquals(
    encoded("BF16", 1 + wide / 2, 1 + 1.5 * wide, 1 + 0.51 * wide, -1 - 1.5 * wide, NaN, -Infinity),
    ["3f80", "3f82", "3f81", "bf82", "7fc0", "ff80"],
  );
});

Deno.test("firstOverflow() finds the first number that would become infinite", () => {
  const halves = Float32Array.of(1, Infinity, NaN, 65519.99, -65520, 7e4);
  assertEquals(firstOverflow(halves, "F16"), 4);
  assertEquals(encoded("F16", 65519.99, -65520), ["7bff", "fc00"]);
  const largest = 2 ** 128 - 2 ** 104; // of 32-bit floats
  const below = 2 ** 128 - 2 ** 119 - 2 ** 104;
  assertEquals(firstOverflow(Float32Array.of(below, -largest), "BF16"), 1);
  assertEquals(encoded("BF16", below, -largest), ["7f7f", "ff80"]);
  assertEquals(firstOverflow(Float32Array.of(largest), "F32"), -1);
});
