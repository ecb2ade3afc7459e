/**
 * Writing so that a reader, or a crash, finds either the old content or the new, never a part.
 *
 * The new content goes to a temporary name beside the target, is forced to the disk, and takes
 * the target's name by a rename, which the file system does as one act.
 */

import { basename, dirname, join, resolve } from "node:path";

/**
 * Replaces the file at `path` by what `write` puts into an empty file.
 *
 * When `write` throws, the temporary file is removed and the target is as it was.
 */
export async function replaceFile(
  path: string,
  write: (file: Deno.FsFile) => Promise<void>,
): Promise<void> {
  const temporary = siblingName(path, "tmp");
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      await write(file);
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await removeIfThere(temporary);
    throw error;
  }
  await syncFolder(dirname(resolve(path)));
}

/** Replaces the file at `path` by `content`; text is written as UTF-8. */
export function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return replaceFile(path, (file) => writeAll(file, bytes));
}

/** Writes all of `bytes` at the file's position; `FsFile.write` alone may stop early. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await file.write(bytes.subarray(done));
  }
}

/**
 * Replaces the folder at `path` by what `write` puts into an empty folder, whose path it is given.
 *
 * Makes the folders above it where they are missing. When `write` throws, the temporary folder is
 * removed and the target is as it was. Entries of an old folder that the new one does not have are
 * kept. A folder cannot be exchanged for another in one act: a crash between the two renames leaves
 * the new one whole under its temporary name and the old one whole as `.NAME.UUID.old`.
 *
 * @param options.outdated Names of entries that are not kept: they would be taken for new ones.
 * @throws {Deno.errors.NotADirectory} If `path` is something else than a folder.
 */
export async function writeFolderAtomic(
  path: string,
  write: (temporary: string) => Promise<void>,
  { outdated }: { outdated?: RegExp } = {},
): Promise<void> {
  const replaces = await isFolder(path);
  const temporary = siblingName(path, "tmp");
  await Deno.mkdir(temporary, { recursive: true });
  try {
    await write(temporary);
    await syncTree(temporary);
    if (replaces) await exchange(temporary, path, outdated);
    else await Deno.rename(temporary, path);
  } catch (error) {
    await removeIfThere(temporary);
    throw error;
  }
  await syncFolder(dirname(resolve(path)));
}

/** Gives the folder `next` the name of the folder `path`, and the entries that only the old had. */
async function exchange(next: string, path: string, outdated: RegExp | undefined): Promise<void> {
  const old = siblingName(path, "old");
  await Deno.rename(path, old);
  try {
    await Deno.rename(next, path);
  } catch (error) {
    await Deno.rename(old, path);
    throw error;
  }
  const written = new Set(Array.from(Deno.readDirSync(path), (entry) => entry.name));
  for (const { name } of Deno.readDirSync(old)) {
    if (written.has(name) || outdated?.test(name)) continue;
    await Deno.rename(join(old, name), join(path, name));
  }
  await Deno.remove(old, { recursive: true });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await Deno.stat(path)).isDirectory) return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  throw new Deno.errors.NotADirectory(
    `Cannot write the folder ${path}: a file has this name; choose another name or move the file`,
  );
}

/** Forces every file under `folder` to the disk, then the folder's own list of names. */
async function syncTree(folder: string): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) {
      await syncTree(path);
    } else if (entry.isFile) {
      using file = await Deno.open(path, { read: true, write: true });
      await file.sync();
    }
  }
  await syncFolder(folder);
}

/** A rename is on the disk once its folder is; Windows has no such call and needs none. */
async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}

/** A hidden name beside `path` that nothing else has. */
function siblingName(path: string, suffix: "tmp" | "old"): string {
  const target = resolve(path);
  return join(dirname(target), `.${basename(target)}.${crypto.randomUUID()}.${suffix}`);
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
