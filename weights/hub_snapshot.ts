/** The files of one model at one commit, from the Hub into the cache. */

import type { HubCache } from "./hub_cache.ts";
import type { HubClient, RemoteFile } from "./hub_client.ts";
import { downloadBlob } from "./hub_download.ts";
import { HubError } from "./hub_errors.ts";
import { OTHER_WEIGHTS, shardNames, SIDE_FILES, TOKENIZER_PARTS } from "./hub_files.ts";
import type { HubOptions } from "./hub_options.ts";
import { inParallel } from "./parallel.ts";
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, SHARD_INDEX, WEIGHTS } from "./weights.ts";

/** Files that are asked for at a time. */
const PARALLEL = 4;

/** Where a model comes from and where it goes. */
export interface SnapshotContext {
  /** The repository, for messages. */
  id: string;
  client: HubClient;
  cache: HubCache;
  options: HubOptions;
}

/**
 * Downloads the files of a model that are needed, at the commit of its `config.json`; of adapters, these are two. A
 * repository without weights of its own that has adapters is one of adapters, also where it has a `config.json`.
 *
 * The snapshot gets its files when all of them are in the cache, so that no part of a model looks like one.
 *
 * @throws {HubError} If the repository has no weights that can be read, or a download fails.
 * @throws {ModelFolderError} If its index of weights in several files is broken.
 */
export async function downloadSnapshot(
  config: RemoteFile,
  context: SnapshotContext,
): Promise<void> {
  const files = config.name === ADAPTER_CONFIG
    ? await describeAdapters(config, context)
    : await describeModel(config, context);
  await download(files, context);
  for (const file of files) await context.cache.link(config.commit, file);
}

async function describeModel(config: RemoteFile, context: SnapshotContext): Promise<RemoteFile[]> {
  const weights = await describeWeights(config, context);
  if (weights === undefined) {
    const [adapters] = await describe([ADAPTER_CONFIG], config, context);
    if (adapters !== undefined) return await describeAdapters(adapters, context);
    throw noWeights(context.id, await describe(OTHER_WEIGHTS, config, context));
  }
  const side = await describe(SIDE_FILES, config, context);
  const hasTokenizer = side.some(({ name }) => name === "tokenizer.json");
  const parts = hasTokenizer ? [] : await describe(TOKENIZER_PARTS, config, context);
  return [config, ...side, ...parts, ...weights];
}

async function describeAdapters(
  config: RemoteFile,
  context: SnapshotContext,
): Promise<RemoteFile[]> {
  const [weights] = await describe([ADAPTER_WEIGHTS], config, context);
  if (weights !== undefined) return [config, weights];
  const problem = `it has ${ADAPTER_CONFIG} but no ${ADAPTER_WEIGHTS}`;
  const remedy = "save the adapters once more with save_pretrained, which writes safetensors";
  throw new HubError("content", `Cannot use ${context.id}: ${problem}; ${remedy}`);
}

/**
 * Downloads `config.json`, or `adapter_config.json`, alone, into a snapshot that is not whole yet.
 *
 * @throws {HubError} If the download fails.
 */
export async function downloadConfig(config: RemoteFile, context: SnapshotContext): Promise<void> {
  await download([config], { ...context, options: { ...context.options, onProgress: undefined } });
  await context.cache.link(config.commit, config);
}

/** Those of the files with these names that the repository has. */
async function describe(
  names: readonly string[],
  { commit }: RemoteFile,
  { client }: SnapshotContext,
): Promise<RemoteFile[]> {
  const found = await inParallel(
    names,
    PARALLEL,
    (name, signal) => client.describe(name, { revision: commit, signal }),
  );
  return found.filter((file) => file !== undefined);
}

/** The one file of weights; else the index and the files that it names; undefined where there is neither. */
async function describeWeights(
  config: RemoteFile,
  context: SnapshotContext,
): Promise<RemoteFile[] | undefined> {
  const { id, cache } = context;
  const found = await describe([WEIGHTS, SHARD_INDEX], config, context);
  const whole = found.find(({ name }) => name === WEIGHTS);
  if (whole !== undefined) return [whole];
  const [index] = found;
  if (index === undefined) return undefined;

  await download([index], { ...context, options: { ...context.options, onProgress: undefined } });
  const names = await shardNames(cache.blob(index.etag), `${SHARD_INDEX} of ${id}`);
  const shards = await describe(names, config, context);
  const missing = names.find((name) => !shards.some((shard) => shard.name === name));
  if (missing === undefined) return [index, ...shards];
  const problem = `it has no ${missing}, which its ${SHARD_INDEX} lists`;
  throw new HubError("content", `Cannot use ${id}: ${problem}; choose another revision`);
}

function noWeights(id: string, [other]: RemoteFile[]): HubError {
  const cannot = `Cannot use ${id}: it has no ${WEIGHTS}`;
  if (other === undefined) {
    return new HubError("content", `${cannot} and no other weights; choose another model`);
  }
  if (other.name.startsWith("adapter_")) {
    const problem = `only adapters without an ${ADAPTER_CONFIG}`;
    return new HubError("content", `${cannot}, ${problem}; save them once more with PEFT`);
  }
  const remedy = "save the model once more with save_pretrained, which writes safetensors";
  return new HubError(
    "content",
    `${cannot}, only ${other.name}, which is not read here; ${remedy}`,
  );
}

/** Puts files into the cache, with one report of progress over all of them. */
async function download(files: readonly RemoteFile[], context: SnapshotContext): Promise<void> {
  const { onProgress, say = () => {} } = context.options;
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const done = new Map<string, number>();
  await inParallel(files, PARALLEL, (file, signal) => {
    const onBytes = (bytes: number) => {
      if (done.get(file.name) === bytes) return; // its end is told once more when it is checked
      done.set(file.name, bytes);
      onProgress?.({ doneBytes: done.values().reduce((sum, n) => sum + n, 0), totalBytes });
    };
    return downloadBlob(file, { ...context, signal, onBytes, say });
  });
}
