/**
 * `deno task report RUN [RUN …]`: one HTML file about a training run, or about several side by side.
 *
 * @module
 */
import { join } from "node:path";
import { writePage } from "./html.ts";
import { programCommand, reportError } from "./program.ts";
import { reportPage } from "./report_page.ts";
import { readRun } from "./run_reader.ts";

/** Its flags. */
export const command = programCommand(
  "report",
  "Write an HTML report of training runs, which works offline.",
)
  .argument("<runs...>", "run folders; the curves of several are drawn together")
  .option("--out <file>", "where to write it (default: report.html in the first run folder)")
  .addHelpText("after", "\nExample:\n  deno task report runs/a runs/b --out compare.html");

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  command.parse(Deno.args, { from: "user" });
  const folders = command.args;
  const runs = await Promise.all(folders.map(readRun));
  const { out = join(folders[0], "report.html") } = command.opts();
  await writePage(out, await reportPage(runs));
  console.log(`wrote ${out}`);
}
