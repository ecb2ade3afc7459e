import { resolveConfigFolder, type ResolvedModel, resolveModel } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { latestCheckpoint } from "./run_folder.ts";

/**
 * The model that a name stands for: of a run folder its newest checkpoint, a model folder, or a model on the Hub,
 * which is downloaded where it is not on this machine; see `resolveModel`.
 *
 * @throws {ModelFolderError} If it is a path and there is no folder.
 * @throws {HubError} If the Hub does not give it.
 */
export async function findModel(name: string, hub: HubOptions): Promise<ResolvedModel> {
  const checkpoint = await latestCheckpoint(name);
  if (checkpoint !== undefined) return { folder: checkpoint, name: checkpoint };
  return await resolveModel(name, hub);
}

/**
 * A folder with the configuration of that model, and perhaps no more: nothing else of it is downloaded.
 *
 * @throws {Error} As {@linkcode findModel}.
 */
export async function findConfig(name: string, hub: HubOptions): Promise<string> {
  return await latestCheckpoint(name) ?? await resolveConfigFolder(name, hub);
}

/** What stands before the name of a model of which only configuration and tokenizer are meant. */
export const NEW = "init:";

/** The same for a name that may begin with `init:`, which it keeps. */
export async function findSource(source: string, hub: HubOptions): Promise<string> {
  const prefix = source.startsWith(NEW) ? NEW : "";
  return prefix + (await findModel(source.slice(prefix.length), hub)).folder;
}
