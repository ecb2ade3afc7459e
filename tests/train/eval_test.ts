import { assertEquals, assertMatch } from "@std/assert";
import type { EndEvent, StartEvent } from "../../train/program_events.ts";
import { withFolder } from "../helpers/folder.ts";
import { changeWeights, copyGpt2, GPT2 } from "../helpers/goldens.ts";
import { assertRefused, endOf, eventsOf, runProgram } from "../helpers/program.ts";

const SHORT = ["--responses", "4", "--max-new-tokens", "6"];

/** Makes `path` a copy of the tiny GPT-2 that is no longer the same model. */
async function copyMoved(path: string): Promise<void> {
  await copyGpt2(path);
  await changeWeights(path, (tensors) =>
    tensors.map((tensor) => {
      const data = tensor.data as Float32Array;
      return tensor.name.endsWith("wte.weight")
        ? { ...tensor, data: data.map((x, i) => x + 0.05 * Math.sin(i)) }
        : tensor;
    }));
}

Deno.test("eval prints a table of a policy beside a reference, with texts to prompts from a file", () =>
  withFolder(async (folder) => {
    await copyMoved(`${folder}/policy`);
    await Deno.writeTextFile(`${folder}/p.jsonl`, '{"title": "Heat"}\n{"title": "Ran"}\n');
    const { code, stdout, stderr } = await runProgram("eval", [
      ...["--model", `${folder}/policy`, "--compare", GPT2, ...SHORT],
      ...["--prompts", `${folder}/p.jsonl`, "--template", "A review of {{ title }}:"],
      ...["--temperature", "0.9", "--top-k", "50", "--reward", "heuristic"],
    ]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^policy .*\/policy, reference .*fixtures\/gpt2, on \S/);
    assertMatch(stdout, /^ +reference +policy\nmean reward +\S+ +\S+\nstandard error/m);
    assertMatch(stdout, /^KL to reference, nats\/token +0\.0000 +0\.0*[1-9]\d*$/m);
    assertMatch(stdout, /^The mean reward (rose|fell) by .* over 4 responses each\.$/m);
    assertMatch(stdout, /^A review of Heat: \.\.\.\n {2}reference +\S+ .*\n {2}policy +\S+ /m);
    assertMatch(stdout, /^A review of Ran: \.\.\.$/m);
  }));

Deno.test("eval --json of a model beside itself prints equal numbers", async () => {
  const args = ["--model", GPT2, "--compare", GPT2, ...SHORT, "--seed", "5", "--json"];
  const outcome = await runProgram("eval", args);
  assertEquals([outcome.code, outcome.stderr], [0, ""]);
  const [start, first, second, end, ...more] = eventsOf(outcome);
  assertEquals(more, []);
  const { event, program, model, reference } = start as StartEvent;
  assertEquals({ event, program, model, reference }, {
    event: "start",
    program: "eval",
    model: GPT2,
    reference: GPT2,
  });
  const { reference: before, policy: after } = end as EndEvent;
  assertEquals(after, before);
  assertEquals([after?.kl, after?.responses], [0, 4]);
  assertEquals([first, second], [
    { event: "evaluation", of: "policy", ...after! },
    { event: "evaluation", of: "reference", ...before! },
  ]);
});

Deno.test("eval of a run folder takes its newest checkpoint, its beginning and its sampling", () =>
  withFolder(async (folder) => {
    const train = await runProgram("train", [
      ...["--model", GPT2, "--out", `${folder}/run`, "--steps", "1", "--learning-rate", "0.01"],
      ...["--batch-size", "4", "--mini-batch-size", "4", "--epochs", "1", "--max-new-tokens", "6"],
      ...["--eval-responses", "4", "--seed", "3", "--temperature", "0.8", "--json"],
    ]);
    assertEquals([train.code, train.stderr], [0, ""]);
    const { before, after } = endOf(train);
    // Of the events, --quiet leaves the result.
    const args = ["--model", `${folder}/run`, "--responses", "4", "--json", "--quiet"];
    const outcome = await runProgram("eval", args);
    assertEquals([outcome.code, outcome.stderr], [0, ""]);
    assertEquals(eventsOf(outcome), [{ event: "end", reference: before!, policy: after! }]);
  }));

const REFUSED: [what: string, flags: string[], says: RegExp][] = [
  ["an unknown flag", ["--respones", "3"], /--respones.*--responses/],
  ["a flag of train", ["--batch-size", "3"], /--batch-size/],
  ["no responses", ["--responses", "0"], /--responses.*1 or more/],
  ["an impossible value", ["--temperature", "0"], /temperature 0 .*above 0/],
  ["a missing model", ["--model", "/none/a", "--compare", GPT2], /\/none\/a: there is no such/],
  ["a missing reference", ["--model", GPT2, "--compare", "/none/b"], /\/none\/b: there is no such/],
  ["a missing prompts file", ["--prompts", "/none.txt"], /\/none\.txt: there is no such file/],
];

for (const [what, flags, says] of REFUSED) {
  Deno.test(`eval refuses ${what} in one line`, async () => {
    assertRefused(await runProgram("eval", flags), says);
  });
}

Deno.test("eval --help lists the flags", async () => {
  const { code, stdout } = await runProgram("eval", ["--help"]);
  assertEquals(code, 0);
  assertMatch(stdout, /--compare <model>/);
  assertMatch(
    stdout.replaceAll(/\s+/g, " "),
    /--responses <number> .*\(default: \d+, with --model/,
  );
});
