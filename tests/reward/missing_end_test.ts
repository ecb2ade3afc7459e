import { assertEquals } from "@std/assert";
import { MissingEndPenalty } from "../../reward/missing_end.ts";
import { samplesOf } from "../helpers/samples.ts";

Deno.test("MissingEndPenalty is -1 for a response that was cut off", () => {
  const [whole, cut] = samplesOf(" it.", " it is");
  assertEquals(new MissingEndPenalty().score([whole!, { ...cut!, ended: false }]), [0, -1]);
});
