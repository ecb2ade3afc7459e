import { ModelFolderError } from "../weights/errors.ts";
import { HubError } from "../weights/hub_errors.ts";
import { resolveConfigFolder, type ResolvedModel, resolveModel } from "../weights/hub.ts";
import type { HubOptions } from "../weights/hub_options.ts";
import { latestCheckpoint } from "./run_folder.ts";
import { similarModel } from "./similar_model.ts";

/**
 * The model that a name stands for: of a run folder its newest checkpoint, a model folder, or a model on the Hub,
 * which is downloaded where it is not on this machine; see `resolveModel`.
 *
 * @param others What a misspelt name may mean beside a model.
 * @throws {ModelFolderError} If it is a path and there is no folder.
 * @throws {HubError} If the Hub does not give it.
 */
export async function findModel(
  name: string,
  hub: HubOptions,
  others?: readonly string[],
): Promise<ResolvedModel> {
  const checkpoint = await latestCheckpoint(name);
  if (checkpoint !== undefined) return { folder: checkpoint, name: checkpoint };
  return await suggesting(name, () => resolveModel(name, hub), others);
}

/**
 * A folder with the configuration of that model, and perhaps no more: nothing else of it is downloaded.
 *
 * @throws {Error} As {@linkcode findModel}.
 */
export async function findConfig(
  name: string,
  hub: HubOptions,
  others?: readonly string[],
): Promise<string> {
  return await latestCheckpoint(name) ??
    await suggesting(name, () => resolveConfigFolder(name, hub), others);
}

/** Finds a model; where there is none of this name, the error asks whether one with a similar name was meant. */
async function suggesting<T>(
  name: string,
  find: () => Promise<T>,
  others?: readonly string[],
): Promise<T> {
  try {
    return await find();
  } catch (error) {
    const isMissing = error instanceof ModelFolderError ||
      (error instanceof HubError && ["missing", "offline", "unreachable"].includes(error.kind));
    const similar = isMissing ? await similarModel(name, others) : undefined;
    if (similar !== undefined) (error as Error).message += `; did you mean ${similar}?`;
    throw error;
  }
}

/** What stands before the name of a model of which only configuration and tokenizer are meant. */
export const NEW = "init:";

/** The same for a name that may begin with `init:`, which it keeps. */
export async function findSource(source: string, hub: HubOptions): Promise<string> {
  const prefix = source.startsWith(NEW) ? NEW : "";
  return prefix + (await findModel(source.slice(prefix.length), hub)).folder;
}
