import { assertEquals, assertMatch } from "@std/assert";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { openModelFolder } from "../../weights/folder.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";

Deno.test("export writes a model in 16 bits and several files, with its value head and card", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      {
        using model = await loadCausalLM(gpu, GPT2, { valueHead: true });
        await model.savePretrained(`${folder}/model`, { card: "# Mine\n" });
      }
      const { code, stdout, stderr } = await runProgram("export", [
        ...["--model", `${folder}/model`, "--out", `${folder}/out`],
        ...["--dtype", "bfloat16", "--max-shard-size", "100KB"],
      ]);
      assertEquals([code, stderr], [0, ""]);
      assertMatch(stdout, /^saved .*\/out: \d+ parameters as bfloat16\n$/);
      assertEquals(
        (await listTree(`${folder}/out`)).filter((name) => /^(model|README)/.test(name)),
        [
          "README.md",
          "model-00001-of-00003.safetensors",
          "model-00002-of-00003.safetensors",
          "model-00003-of-00003.safetensors",
          "model.safetensors.index.json",
        ],
      );
      using saved = await openModelFolder(`${folder}/out`);
      assertEquals((saved.config as { dtype: string }).dtype, "bfloat16");
      assertEquals(saved.tensors.get("v_head.summary.weight")?.dtype, "BF16");
    })
  ));

const REFUSED: [what: string, flags: string[], says: RegExp][] = [
  ["no model", ["--out", "x"], /--model/],
  ["a dtype that does not exist", ["--model", GPT2, "--out", "x", "--dtype", "int8"], /float16/],
  ["a size that is none", ["--model", GPT2, "--out", "x", "--max-shard-size", "big"], /2GB/],
  ["a missing model", ["--model", "/none/a", "--out", "x"], /\/none\/a: there is no such/],
];
for (const [what, flags, says] of REFUSED) {
  Deno.test(`export refuses ${what} in one line`, async () => {
    assertRefused(await runProgram("export", flags), says);
  });
}
