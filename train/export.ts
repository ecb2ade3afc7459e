/**
 * `deno task export`: a model as a folder to give away, in fewer bits, in several files, with its adapters merged.
 *
 * @module
 */
import { InvalidArgumentError, Option } from "commander";
import { join } from "node:path";
import { Gpu } from "../kernels/runtime/mod.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import { SAVE_DTYPES } from "../model/save.ts";
import { holdsAdapters, openAdapterFolder, openModelFolder } from "../weights/folder.ts";
import { parseBytes } from "./byte_size.ts";
import { findModel } from "./model_source.ts";
import { programCommand, programHub, reportError } from "./program.ts";

/** Its flags. */
export const command = programCommand(
  "export",
  "Write a model as a folder that transformers loads. Adapters are merged; a value head and a model card are kept.",
)
  .requiredOption("--model <model>", "model or run folder, or model on the Hub")
  .requiredOption("--out <dir>", "folder for the model")
  .addOption(
    new Option("--dtype <dtype>", "how numbers are stored; 16 bits round to the nearest")
      .choices(SAVE_DTYPES)
      .default("float32" as const),
  )
  .option("--max-shard-size <size>", "most bytes in one file, such as 2GB (default: 50GB)", bytes)
  .addHelpText(
    "after",
    "\nExample:\n  deno task export --model runs/a --out my-model --dtype bfloat16",
  );

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { model: name, out, dtype, maxShardSize } = command.parse(Deno.args, { from: "user" })
    .opts();
  const hub = programHub();
  const { folder } = await findModel(name, hub);
  const { valueHead, card } = await lookInto(folder);
  using gpu = await Gpu.open();
  using model = await loadCausalLM(gpu, folder, { valueHead, hub });
  await model.savePretrained(out, { dtype, maxShardBytes: maxShardSize, card });
  console.log(`saved ${out}: ${model.layout.count} parameters as ${dtype}`);
}

/** Whether a folder has a value head, and its model card; that of adapters is not one of the whole model. */
async function lookInto(path: string): Promise<{ valueHead: boolean; card: string | undefined }> {
  const isAdapter = await holdsAdapters(path);
  using folder = await (isAdapter ? openAdapterFolder(path) : openModelFolder(path));
  const hasCard = !isAdapter && folder.files.includes("README.md");
  return {
    valueHead: folder.tensors.has("v_head.summary.weight"),
    card: hasCard ? await Deno.readTextFile(join(path, "README.md")) : undefined,
  };
}

function bytes(text: string): number {
  const size = parseBytes(text);
  if (size !== undefined) return size;
  throw new InvalidArgumentError("It must be a size such as 2GB or 500MiB.");
}
