/** A model by name: a local folder, or a repository on the Hub, of which the files that are needed are fetched. */

import { ModelFolderError } from "./errors.ts";
import { HubCache } from "./hub_cache.ts";
import { HubClient, type RemoteFile } from "./hub_client.ts";
import { HubError, storageError } from "./hub_errors.ts";
import { CONFIG, hasModel } from "./hub_files.ts";
import { type HubName, parseHubName } from "./hub_name.ts";
import { defaultCacheDir, type HubOptions } from "./hub_options.ts";
import { downloadConfig, downloadSnapshot } from "./hub_snapshot.ts";
import { ADAPTER_CONFIG } from "./weights.ts";

/** A model that is on this machine. */
export interface ResolvedModel {
  /** The local folder. */
  folder: string;
  /** A name that will always mean the same: of a model from the Hub, its id with the commit, else the folder. */
  name: string;
}

/** The local folder of a model; see {@linkcode resolveModel}. */
export async function resolveModelFolder(name: string, options?: HubOptions): Promise<string> {
  return (await resolveModel(name, options)).folder;
}

/**
 * Finds a model by name, and downloads it where it is not on this machine yet.
 *
 * A folder that exists is meant by its path. Else `name` and `owner/name` mean a model on the Hub, at `main` or at
 * what follows an `@`: a branch, a tag, or a whole commit hash, for which nothing is asked over the network if it
 * is in the cache. Everything else, such as `./x` or an absolute path, can only be a path.
 *
 * A model may be adapters alone, as PEFT writes them; the model that they belong to is another name.
 *
 * Where the Hub cannot be reached, what the cache last saw of the branch or tag is used, and `say` hears of it.
 *
 * @throws {ModelFolderError} If it is a path and there is no folder.
 * @throws {HubError} If the Hub has no such model, does not give it, cannot be reached, or sends something else;
 * or if the cache cannot be written.
 */
export async function resolveModel(
  name: string,
  options: HubOptions = {},
): Promise<ResolvedModel> {
  return await resolve(name, options, "whole");
}

/**
 * A folder with the configuration of a model, and perhaps no more: of a model on the Hub that is not on this machine
 * yet, `config.json`, or of adapters `adapter_config.json`, is downloaded and nothing else.
 *
 * @throws {ModelFolderError} As {@linkcode resolveModel}, and {@linkcode HubError} too.
 */
export async function resolveConfigFolder(
  name: string,
  options: HubOptions = {},
): Promise<string> {
  return (await resolve(name, options, "config")).folder;
}

/** How much of a model has to be on this machine. */
type Extent = "whole" | "config";

async function resolve(
  name: string,
  options: HubOptions,
  extent: Extent,
): Promise<ResolvedModel> {
  const kind = options.local === false ? "nothing" : await kindOf(name);
  if (kind === "folder") return { folder: name, name };
  const hub = parseHubName(name);
  const unopened = (problem: string) =>
    new ModelFolderError(`Cannot open the model folder ${name}: ${problem}`, { path: name });
  if (kind === "file") throw unopened(`it is a file; give the folder that holds ${CONFIG}`);
  if (hub === undefined) {
    throw unopened(
      "there is no such folder; check the path, or name a model on the Hub as owner/name",
    );
  }
  const cache = new HubCache(options.cacheDir ?? defaultCacheDir(), hub);
  try {
    const commit = await commitInCache(hub, cache, options, extent);
    return { folder: cache.snapshot(commit), name: `${hub.id}@${commit}` };
  } catch (error) {
    throw storageError(error, cache.root) ?? error;
  }
}

async function kindOf(path: string): Promise<"folder" | "file" | "nothing"> {
  try {
    return (await Deno.stat(path)).isDirectory ? "folder" : "file";
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return "nothing";
    if ((error as { code?: string }).code === "ENAMETOOLONG") return "nothing";
    throw error;
  }
}

/** The commit that `hub` stands for, after whose return its snapshot is in the cache, to that extent. */
async function commitInCache(
  hub: HubName,
  cache: HubCache,
  options: HubOptions,
  extent: Extent,
): Promise<string> {
  const { id, revision } = hub;
  const known = await cache.commitOf(revision);
  const cached = known !== undefined && await hasModel(cache.snapshot(known)) ? known : undefined;
  if (cached === revision) return cached;
  if (options.offline) {
    if (cached !== undefined) return cached;
    const remedy = "unset HF_HUB_OFFLINE to download it, or check the spelling";
    throw new HubError(
      "offline",
      `Cannot find the model ${id}: there is no such folder here, and ${cache.root} does not hold it at ` +
        `${revision}; ${remedy}`,
    );
  }
  const client = await HubClient.open(hub, options);
  let config: RemoteFile | undefined;
  try {
    config = await client.describe(CONFIG) ?? await client.describe(ADAPTER_CONFIG);
  } catch (error) {
    const isDown = error instanceof HubError && ["unreachable", "busy"].includes(error.kind);
    if (!isDown || cached === undefined) throw error;
    options.say?.(`no good answer from ${client.host}; using ${id} as last seen, at ${cached}`);
    return cached;
  }
  if (config === undefined) {
    const remedy = "choose a model that transformers loads";
    throw new HubError("content", `Cannot use ${id}: it has no ${CONFIG}; ${remedy}`);
  }
  const { commit } = config;
  if (client.movedTo) options.say?.(`${id} is now called ${client.movedTo}`);
  if (!await hasModel(cache.snapshot(commit))) {
    const context = { id, client, cache, options };
    if (extent === "config") {
      await downloadConfig(config, context);
      return commit; // the revision stays at the commit whose snapshot is whole
    }
    await downloadSnapshot(config, context);
  }
  if (commit !== revision) await noteCommit(cache, revision, commit);
  return commit;
}

/** Notes where a branch or tag is, if the cache can be written; it may still be read where it cannot. */
async function noteCommit(cache: HubCache, revision: string, commit: string): Promise<void> {
  try {
    await cache.setCommit(revision, commit);
  } catch (error) {
    if (storageError(error, cache.root) === undefined) throw error;
  }
}
