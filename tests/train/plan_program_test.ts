import { assert, assertEquals, assertMatch } from "@std/assert";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";

Deno.test("plan shows what a run takes, and whether it fits", async () => {
  const { code, stdout, stderr } = await runProgram("plan", ["--model", GPT2]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^112609 parameters\n\npolicy +\d+ KiB\n/);
  assertMatch(
    stdout,
    /\nat the peak +\d+ MiB\n\nthe adapter .* in one binding, .* in one buffer\n/,
  );
  assertMatch(stdout, /it fits these limits; .* --memory-budget/);
});

Deno.test("plan ends with status 1 where a run does not fit, and says which settings to change", async () => {
  const run = ["--model", GPT2, "--reward", "heuristic", "--eval-responses", "48"];
  const args = [...run, "--memory-budget", "8MB", "--json"];
  const { code, stdout } = await runProgram("plan", args);
  assertEquals(code, 1);
  const { parameters, parts, peakBytes, problem, remedies } = JSON.parse(stdout);
  assertEquals(parameters, 112609);
  assert(peakBytes > 8e6 && parts.length > 5, stdout);
  assertMatch(problem, /memoryBudget allows 8 MiB$/);
  assertEquals(Object.keys(remedies[0].settings), ["evalResponses"]);
});

Deno.test("train refuses a run that does not fit, before it makes anything", () =>
  withFolder(async (folder) => {
    const out = `${folder}/run`;
    const args = ["--model", GPT2, "--memory-budget", "1MB", "--out", out];
    const outcome = await runProgram("train", args);
    assertRefused(outcome, /Cannot train .*: it takes \d+ MiB .* 977 KiB; /);
    assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  }));

Deno.test("a memory budget that is no size is refused", async () => {
  const outcome = await runProgram("plan", ["--memory-budget", "8 potatoes"]);
  assertRefused(outcome, /memoryBudget "8 potatoes" .*a size such as 8GiB/);
});
