import { assert, assertEquals } from "@std/assert";
import { slips } from "../../train/slips.ts";

Deno.test("slips() makes every name that is one slip away, and none that is further", () => {
  const all = new Set(slips("TOP_K"));
  for (
    const slip of ["OP_K", "TOPK", "TOP_", "TPO_K", "TO_PK", "TOP_KK", "ATOP_K", "TOP_P", "TOP-K"]
  ) {
    assertEquals(all.has(slip), slip !== "TOP-K", slip);
  }
  for (const name of all) assert(Math.abs(name.length - 5) <= 1, name);
  assert(!all.has("T_K") && !all.has("KOP_T"));
});
