/** What the programs that train tokenizers have in common: text in, Hugging Face files out. */

import { InvalidArgumentError } from "commander";
import { join } from "node:path";
import { writeFileAtomic } from "./atomic.ts";
import { JsonLinesError, readJsonLines } from "./jsonl.ts";

/**
 * The documents of a file: one a line or, where its name ends in `.jsonl`, the field `text` of each record.
 *
 * @throws {JsonLinesError} If a line of a JSONL file is broken or has no text.
 */
export async function readCorpus(file: string): Promise<string[]> {
  if (!file.endsWith(".jsonl")) return (await Deno.readTextFile(file)).split("\n");
  return (await readJsonLines(file)).map(({ record: { text }, line }) => {
    if (typeof text === "string") return text;
    throw new JsonLinesError('it has no "text"; write {"text": "…"}', { file, line });
  });
}

/** Writes `tokenizer.json` and `tokenizer_config.json` into a folder, which it makes. */
export async function writeTokenizer(
  folder: string,
  { tokenizer, config }: { tokenizer: unknown; config: unknown },
): Promise<void> {
  const write = (name: string, content: unknown) =>
    writeFileAtomic(join(folder, name), JSON.stringify(content, null, 2) + "\n");
  await Deno.mkdir(folder, { recursive: true });
  await write("tokenizer.json", tokenizer);
  await write("tokenizer_config.json", config);
}

/** Parser of a flag's value: a whole number of 1 or more. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("Expected 1 or more.");
  return value;
}
