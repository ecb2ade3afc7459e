import { assertEquals } from "@std/assert";
import { printable } from "../../train/program.ts";

Deno.test("printable() leaves nothing that steers a terminal", () => {
  assertEquals(printable("a film\nwas \u{1f3ac} \u00e9"), "a film\nwas \u{1f3ac} \u00e9");
  const title = "\u001b]0;title\u0007";
  assertEquals(printable(`x${title}\r\u009b2J`), "x\ufffd]0;title\ufffd\ufffd\ufffd2J");
});
