import { assertEquals } from "@std/assert";
import { parseBytes, showBytes } from "../../train/byte_size.ts";

Deno.test("parseBytes() takes decimal and binary units in any case", () => {
  const sizes = { "8GiB": 2 ** 33, "1.5 gib": 1.5 * 2 ** 30, "500 MB": 5e8, "64kib": 65536 };
  for (const [text, bytes] of Object.entries(sizes)) assertEquals(parseBytes(text), bytes);
  assertEquals(parseBytes(" 4096 "), 4096);
  assertEquals(parseBytes("12B"), 12);
});

Deno.test("parseBytes() refuses what is no size", () => {
  for (const text of ["", "8 G", "-1GiB", "0", "1e9", "GiB", "0.5 B", "99999999999 GiB"]) {
    assertEquals(parseBytes(text), undefined, text);
  }
});

Deno.test("showBytes() chooses the unit", () => {
  assertEquals([2.72 * 2 ** 30, 350.4 * 2 ** 20, 2 ** 20, 2000, 1].map(showBytes), [
    "2.7 GiB",
    "350 MiB",
    "1 MiB",
    "2 KiB",
    "1 KiB",
  ]);
});
