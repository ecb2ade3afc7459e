/**
 * `deno task dashboard [RUN]`: the live page of a run that another process trains, or that has ended.
 *
 * It only shows; `deno task train --dashboard` serves the page that steers.
 *
 * @module
 */
import { join } from "node:path";
import { PORTS, wholeNumber } from "./flag_values.ts";
import { LiveServer } from "./live_server.ts";
import { programCommand, reportError } from "./program.ts";
import { RunFolderError } from "./run_folder.ts";
import { readRun } from "./run_reader.ts";
import { FolderViewer } from "./folder_viewer.ts";

/** Time between two looks at the folder, in ms. */
const INTERVAL = 1000;

/** Its flags. */
export const command = programCommand(
  "dashboard",
  "Show a training run as a live page on this machine.",
)
  .argument("[run]", "run folder (default: the newest in runs/)")
  .option("--port <number>", "port on 127.0.0.1; 0 takes a free one", wholeNumber(0, PORTS), 0)
  .addHelpText("after", "\nExample:\n  deno task dashboard runs/a --port 8080");

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { port } = command.parse(Deno.args, { from: "user" }).opts();
  const folder = command.args[0] ?? await newestRun("runs");
  const viewer = new FolderViewer();
  const first = viewer.events(await readRun(folder)); // refuses what is no run, before a port is taken
  const server = new LiveServer({ port, token: crypto.randomUUID() });
  console.log(`${folder} at ${server.origin}; Ctrl-C ends it`);
  for (const event of first) server.push(event);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    for (const event of viewer.events(await readRun(folder))) server.push(event);
  }
}

async function newestRun(folder: string): Promise<string> {
  let newest: { path: string; time: number } | undefined;
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (!isDirectory) continue;
      const path = join(folder, name);
      const info = await Deno.stat(join(path, "config.json")).catch(() => undefined);
      const time = info?.mtime?.getTime() ?? -Infinity;
      if (time > (newest?.time ?? -Infinity)) newest = { path, time };
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  if (newest) return newest.path;
  throw new RunFolderError(`Cannot find a run in ${folder}/; start one with: deno task train`);
}
