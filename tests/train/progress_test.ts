import { assertEquals } from "@std/assert";
import { Progress } from "../../train/progress.ts";

Deno.test("Progress has the rate of the last seconds, not of what was done before", () => {
  const progress = new Progress({ name: "download", unit: "bytes", total: 1e9 }, 5e8, 0);
  for (let second = 1; second <= 5; second++) progress.update(5e8 + second * 1e7, 1000 * second);
  for (let second = 6; second <= 16; second++) {
    progress.update(55e7 + (second - 5) * 1e6, 1000 * second);
  }
  assertEquals(progress.line(), "download  56 % of 1000.0 MB | 1.0 MB/s | ETA 7:19");
});

Deno.test("Progress takes some of the last updates where each takes long, and begins anew after a step back", () => {
  const progress = new Progress({ name: "training", unit: "steps", total: 1000 }, 0, 0);
  for (let step = 1; step <= 20; step++) progress.update(step, 60_000 * step);
  assertEquals(progress.line(), "training   20/1000 steps | 1.0 steps/min | ETA 16:20:00");
  progress.update(10, 1_200_000);
  assertEquals(progress.line(), "training   10/1000 steps | ETA -:--");
  progress.update(11, 1_201_000);
  assertEquals(progress.line(), "training   11/1000 steps | 1.0 steps/s | ETA 16:29");
});

Deno.test("Progress of nothing is at its end", () => {
  const progress = new Progress({ name: "training", unit: "steps", total: 0 }, 0, 0);
  assertEquals(progress.bar(80).includes("[====================] 0/0 steps"), true);
});
