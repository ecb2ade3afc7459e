/** One file from the Hub into the cache: resumed where an earlier attempt broke off, checked before it gets its name. */

import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { writeAll } from "./atomic.ts";
import { withFileLock } from "./file_lock.ts";
import type { HubCache } from "./hub_cache.ts";
import { type HubClient, type RemoteFile, silent } from "./hub_client.ts";
import { HubError } from "./hub_errors.ts";
import { exists, fileSize } from "./hub_files.ts";

/** Where a file comes from, where it goes, and who hears of it. */
export interface DownloadContext {
  client: HubClient;
  cache: HubCache;
  /** Ends the download. */
  signal: AbortSignal;
  /** Hears how many bytes of the file are here, as they come. */
  onBytes(doneBytes: number): void;
  /** Hears that another process is at the same file. */
  say(line: string): void;
}

/**
 * Puts the content of `file` into the cache, if it is not there.
 *
 * Of several processes one downloads and the others wait for it. The content lies under `ETAG.incomplete` until its
 * size and hash are those that the Hub names; whatever ends this before, the next attempt asks for the rest only.
 *
 * @throws {HubError} If the Hub cannot be reached or refuses, or if what arrives is not what it describes.
 */
export async function downloadBlob(file: RemoteFile, context: DownloadContext): Promise<void> {
  const { cache, signal, onBytes, say } = context;
  const blob = cache.blob(file.etag);
  const fetchOnce = async () => {
    if (await exists(blob)) return;
    await Deno.mkdir(dirname(blob), { recursive: true });
    const partial = `${blob}.incomplete`;
    await fetchChecked(file, partial, context);
    await Deno.rename(partial, blob);
  };
  if (!await exists(blob)) {
    const waiting = `another process downloads ${file.name}; waiting for it`;
    await withFileLock(cache.lock(file.etag), fetchOnce, { signal, onWait: () => say(waiting) });
  }
  onBytes(file.sizeBytes);
}

async function fetchChecked(
  file: RemoteFile,
  partial: string,
  context: DownloadContext,
): Promise<void> {
  for (;;) {
    const resumed = (await fileSize(partial) ?? 0) > 0;
    await fetchAll(file, partial, context);
    const fault = await findFault(partial, file);
    if (fault === undefined) return;
    await Deno.remove(partial);
    if (resumed) continue; // the old part may be at fault: once more, all of it
    throw new HubError(
      "corrupt",
      `Cannot download ${file.name}: ${fault}; try again, and if it stays so, distrust ${context.client.host} ` +
        "or the proxy in between",
    );
  }
}

/** Makes `partial` as long as the file, or longer where the server sends too much. */
async function fetchAll(
  file: RemoteFile,
  partial: string,
  context: DownloadContext,
): Promise<void> {
  const { client, signal } = context;
  using target = await Deno.open(partial, { write: true, create: true });
  let size = await target.seek(0, Deno.SeekMode.End);
  for (let failures = 0; size < file.sizeBytes;) {
    const before = size;
    try {
      const answer = await client.download(file, { from: size, signal });
      size = await startOf(answer, size);
      await target.truncate(size);
      await target.seek(size, Deno.SeekMode.Start);
      for await (const part of partsOf(answer, client.timeoutMs)) {
        await writeAll(target, part);
        size += part.length;
        context.onBytes(size);
        if (size > file.sizeBytes) break;
      }
      if (size >= file.sizeBytes) break;
      throw new BodyError("the answer ended early");
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BodyError)) throw error;
      failures = size > before ? 1 : failures + 1; // whoever sends something is alive
      if (client.isHopeless(failures)) throw client.unreachable(error);
      await client.pause(failures, context);
    }
  }
  await target.sync();
}

/** A body that broke off, which is worth another try; in contrast to a disk that is full. */
class BodyError extends Error {}

/** At which byte of the file the body of an answer begins: where it was asked to, or at 0. */
async function startOf(answer: Response, asked: number): Promise<number> {
  if (answer.status !== 206) return 0;
  const [, start] = /^bytes (\d+)-/.exec(answer.headers.get("content-range") ?? "") ?? [];
  if (Number(start) === asked) return asked;
  await answer.body?.cancel();
  throw new BodyError(`the answer begins at byte ${start}, not at ${asked}`);
}

/** The parts of a body; ends with an error where the server is silent for too long. */
async function* partsOf(answer: Response, timeoutMs: number): AsyncGenerator<Uint8Array> {
  if (answer.body === null) return;
  const reader = answer.body.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    for (;;) {
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(silent(timeoutMs)), timeoutMs);
      });
      const { done, value } = await Promise.race([reader.read(), silence]);
      clearTimeout(timer);
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw new BodyError((error as Error).message, { cause: error });
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {}); // it may have broken off
  }
}

/**
 * What is wrong with a file that has been downloaded; undefined where nothing is.
 *
 * The Hub names a large file by its SHA-256 and a small one as git does, by the SHA-1 of `blob SIZE\0` and its bytes.
 * Where a mirror's ETag is neither, the size has to do.
 */
async function findFault(path: string, file: RemoteFile): Promise<string | undefined> {
  const { etag, sizeBytes } = file;
  const size = await fileSize(path);
  if (size !== sizeBytes) return `${size} bytes arrived of a file of ${sizeBytes}`;
  if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) return undefined;
  const isGit = etag.length === 40;
  const hash = createHash(isGit ? "sha1" : "sha256");
  if (isGit) hash.update(`blob ${size}\0`);
  using content = await Deno.open(path);
  for await (const part of content.readable) hash.update(part);
  const found = hash.digest("hex");
  if (found === etag) return undefined;
  return `what arrived has the hash ${found}, not ${etag}, which it should have`;
}
