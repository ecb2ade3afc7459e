import { assert, assertEquals, assertMatch } from "@std/assert";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import type { SftValidation } from "../../train/program_events.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertRefused, endOf, eventsOf, runProgram } from "../helpers/program.ts";

const TEXT = [
  "the film is a fine piece of work and the cast is good",
  "a dull story that never ends, and the cast is not good",
  "it is the best film of the year",
].join("\n");

const FIGURES =
  /^validation: (\d\.\d{4}) nats\/token, (\d\.\d{4}) nats\/byte \(\d+ UTF-8 bytes\)$/m;

Deno.test("sft trains a fresh model, validates it, and saves one that loads", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/train.txt`, `${TEXT}\n`.repeat(20));
    const long = TEXT.replaceAll("\n", " "); // longer than the context
    await Deno.writeTextFile(`${folder}/val.txt`, `${TEXT}\n${long} ${long}\n`);
    const run = (...flags: string[]) =>
      runProgram("sft", [
        ...["--data", `${folder}/train.txt`, "--val", `${folder}/val.txt`],
        ...["--length", "64", "--batch-size", "2", "--warmup-steps", "0"], // 64 is the whole context
        ...flags,
      ]);
    const first = await run(
      ...["--model", `init:${GPT2}`, "--out", `${folder}/out`],
      ...["--steps", "12", "--learning-rate", "0.01", "--gradient-accumulation", "2"],
    );
    assertEquals([first.code, first.stderr], [0, ""]);
    assertMatch(first.stdout, /^112560 parameters on \S.*; \d+ tokens, 12 steps of 128 tokens\n/);
    assertMatch(
      first.stdout,
      /^step 10\/12 \| loss \S+ \| grad norm +\S+ \| +\d+ tok\/s \| +\d+ ms$/m,
    );
    const loss = Number(first.stdout.match(/^step 12\/12 \| loss (\S+)/m)![1]);
    assert(loss < Math.log(512) - 1, `the loss is ${loss}, that of a uniform guess 6.24`);
    const [, perToken, perByte] = first.stdout.match(FIGURES)!.map(Number);
    assert(perToken < Math.log(512) - 1 && perByte < perToken);

    await withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, `${folder}/out`);
      const { logprobs } = await model.logprobs({
        inputIds: [model.tokenizer.encode("the cast is good")],
      });
      const mean = logprobs[0].reduce((a, b) => a + b) / logprobs[0].length;
      assert(mean > -Math.log(512) + 1, `log-probabilities of ${mean} nats`);
    });

    // Going on from the saved model with next to no learning rate keeps the figures.
    const second = await run(
      ...["--model", `${folder}/out`, "--out", `${folder}/out2`, "--epochs", "0.01"],
      ...["--learning-rate", "1e-9", "--json"],
    );
    assertEquals([second.code, second.stderr], [0, ""]);
    const events = eventsOf(second);
    assertEquals(events.map(({ event }) => event), [
      ...["start", "step", "evaluation", "checkpoint", "end"],
    ]);
    const step = events.find((event) => event.event === "step")!;
    assertEquals(Object.keys(step.metrics), ["loss", "grad_norm", "tokens_per_second", "seconds"]);
    const { steps, validation } = endOf(second);
    const { natsPerToken, bytes } = validation as SftValidation;
    assertEquals([steps, bytes], [1, (await Deno.stat(`${folder}/val.txt`)).size]);
    assert(Math.abs(natsPerToken - perToken) <= 1e-4); // as printed
  }));

Deno.test("sft trains adapters alone, and saves them for PEFT", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/train.txt`, `${TEXT}\n`.repeat(20));
    const run = (model: string, ...flags: string[]) =>
      runProgram("sft", [
        ...["--model", model, "--data", `${folder}/train.txt`, "--out", `${folder}/out`],
        ...["--val", `${folder}/train.txt`, "--length", "64", "--batch-size", "2"],
        ...["--warmup-steps", "0", ...flags],
      ]);
    const targets = ["--lora-alpha", "32", "--lora-targets", "c_attn,mlp.c_proj"];
    const first = await run(
      GPT2,
      "--lora-rank",
      "4",
      ...targets,
      "--steps",
      "12",
      "--learning-rate",
      "0.05",
    );
    assertEquals([first.code, first.stderr], [0, ""]);
    const adapters = 3 * 4 * (48 + 3 * 48 + 4 * 48 + 48); // A and B of two layers in each block
    assertMatch(first.stdout, new RegExp(`^112560 parameters, of adapters ${adapters} more, on `));
    const loss = Number(first.stdout.match(/^step 12\/12 \| loss (\S+)/m)![1]);
    assert(loss < 6, `the loss is ${loss}, that of a uniform guess 6.24`);

    const out = await listTree(`${folder}/out`);
    assert(
      out.includes("adapter_model.safetensors") && !out.includes("model.safetensors"),
      `${out}`,
    );
    const config = JSON.parse(await Deno.readTextFile(`${folder}/out/adapter_config.json`));
    assertEquals([config.r, config.lora_alpha, config.base_model_name_or_path], [4, 32, GPT2]);
    assertEquals(config.target_modules, ["c_attn", "mlp.c_proj"]);
    assertMatch(await Deno.readTextFile(`${folder}/out/README.md`), /^library_name: peft$/m);

    // As --model it is the whole model again, with the figures that it had.
    const again = await run(`${folder}/out`, "--steps", "1", "--learning-rate", "1e-9", "-q");
    assertEquals(again.code, 0, again.stderr);
    assertMatch(again.stdout, /^validation: .*\nsaved .*\n$/); // and no word more
    const [before, after] = [first, again].map(({ stdout }) => Number(stdout.match(FIGURES)![1]));
    assert(Math.abs(before - after) <= 1e-4, `${before} and ${after}`); // as printed
  }));

const REFUSED: [what: string, flags: string[], says: RegExp][] = [
  ["an unknown flag", ["--epoch", "3"], /--epoch'.*--epochs/],
  ["no steps", ["--steps", "0"], /--steps.*1 or more/],
  ["a beta2 of 1", ["--beta2", "1"], /--beta2.*below 1/],
  ["a batch that has no such parts", ["--gradient-accumulation", "3"], /--batch-size 16 .* 3:/],
  ["rows longer than the context", ["--length", "65"], /--length 65: .* context, 64$/m],
  ["adapters of a fresh model", ["--lora-rank", "4"], /--lora-rank with init:.* not kept/],
  ["layers of no adapters", ["--lora-targets", "c_attn"], /--lora-targets.*give --lora-rank/],
  ["layers that do not exist", ["--model", GPT2, "--lora-rank", "4", "--lora-targets", "q"], /"q"/],
  ["a missing model", ["--model", "init:/none"], /\/none: there is no such folder/],
  ["a missing text", ["--data", "/none.txt"], /\/none\.txt/],
];

for (const [what, flags, says] of REFUSED) {
  Deno.test(`sft refuses ${what} in one line and leaves nothing`, () =>
    withFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/train.txt`, TEXT);
      const outcome = await runProgram("sft", [
        ...["--model", `init:${GPT2}`, "--data", `${folder}/train.txt`, "--out", `${folder}/out`],
        ...["--length", "8", ...flags],
      ]);
      assertRefused(outcome, says);
      assertEquals(await listTree(folder), ["train.txt"]);
    }));
}

Deno.test("sft says which flag is missing", async () => {
  assertRefused(await runProgram("sft", ["--data", "a", "--out", "b"]), /--model/);
});
