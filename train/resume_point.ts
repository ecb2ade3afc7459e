import { basename, dirname, join } from "node:path";
import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { CheckpointError } from "./checkpoint_error.ts";
import { type ConfigFile, readConfigFile } from "./config_file.ts";
import { savedSettings } from "./resume.ts";
import { listCheckpoints } from "./run_folder.ts";
import { similarFolder } from "./similar_model.ts";

/** Where a run goes on. */
export interface ResumePoint {
  /** The run folder; undefined where the checkpoint lies in none. */
  run: string | undefined;
  /** Undefined where the run was ended before its first checkpoint: it begins again. */
  checkpoint: Checkpoint | undefined;
  /** The run's settings, its folder as `out`. */
  settings: ConfigFile;
}

/**
 * Finds where to go on: in a run folder after its newest checkpoint, or after the checkpoint that is named.
 *
 * @param path A run folder or a checkpoint.
 * @throws {CheckpointError} If there is no such folder, or the checkpoint is not whole; the message names the folder that
 * may have been meant, or an older checkpoint of the run that is whole.
 * @throws {ConfigError} If a run without checkpoints has no readable settings.
 */
export async function findResumePoint(path: string): Promise<ResumePoint> {
  if (path === "") throw new CheckpointError("it has no name", { folder: '""' });
  const folder = path.replace(/(?<=.)[/\\]+$/, "");
  if (!await isFolder(join(folder, "checkpoints"))) {
    const run = basename(dirname(folder)) === "checkpoints" ? dirname(dirname(folder)) : undefined;
    return await pointAt(folder, run);
  }
  const newest = (await listCheckpoints(folder)).at(-1);
  if (newest) return await pointAt(newest.folder, folder);
  const settings = await readConfigFile(join(folder, "config.json"));
  return { run: folder, checkpoint: undefined, settings: withOut(settings, folder) };
}

async function pointAt(folder: string, run: string | undefined): Promise<ResumePoint> {
  try {
    const checkpoint = await openCheckpoint(folder);
    const settings = savedSettings(checkpoint.state.config, join(folder, "trainer_state.json"));
    return { run, checkpoint, settings: withOut(settings, run) };
  } catch (error) {
    const older = run === undefined ? undefined : await newestWholeBefore(folder, run);
    if (!(error instanceof CheckpointError)) throw error;
    if (older !== undefined) throw error.withRemedy(`an older one is whole: --resume ${older}`);
    const similar = await isFolder(folder) ? undefined : await similarFolder(folder);
    throw similar === undefined ? error : error.withRemedy(`did you mean ${similar}?`);
  }
}

async function newestWholeBefore(folder: string, run: string): Promise<string | undefined> {
  const all = await listCheckpoints(run);
  const older = all.slice(0, all.findIndex((each) => each.folder === folder)).reverse();
  for (const each of older) {
    try {
      return (await openCheckpoint(each.folder)).folder;
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
    }
  }
  return undefined;
}

/** The settings with the folder where the run is now, which may have been moved. */
function withOut({ path, entries }: ConfigFile, run: string | undefined): ConfigFile {
  const others = entries.filter(({ key }) => key !== "out");
  const out = run === undefined ? [] : [{ key: "out", value: run, line: undefined }];
  return { path, entries: [...others, ...out] };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return false;
    throw error;
  }
}
