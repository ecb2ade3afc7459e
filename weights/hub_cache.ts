/**
 * The cache of downloaded models, in the layout of Python's `huggingface_hub`, so that both find each other's files:
 *
 *     .locks/models--owner--name/ETAG.lock
 *     models--owner--name/blobs/ETAG              what a file holds, named by its hash
 *     models--owner--name/refs/REVISION           the commit that a branch or tag was at
 *     models--owner--name/snapshots/COMMIT/NAME   links to blobs
 */

import { dirname, join, relative, resolve } from "node:path";
import { writeFileAtomic } from "./atomic.ts";
import { exists } from "./hub_files.ts";
import { type HubName, isCommit } from "./hub_name.ts";

/** The part of the cache that belongs to one repository. */
export class HubCache {
  readonly #repository: string;
  readonly #locks: string;

  /** @param root Folder of the whole cache; neither it nor anything in it need exist. */
  constructor(readonly root: string, { id }: Pick<HubName, "id">) {
    const name = `models--${id.replace("/", "--")}`;
    this.#repository = join(root, name);
    this.#locks = join(root, ".locks", name);
  }

  /** Where the content with this hash lies. */
  blob(etag: string): string {
    return join(this.#repository, "blobs", etag);
  }

  /** The lock of whoever downloads it. */
  lock(etag: string): string {
    return join(this.#locks, `${etag}.lock`);
  }

  /** The model folder at a commit. */
  snapshot(commit: string): string {
    return join(this.#repository, "snapshots", commit);
  }

  /** The commit that a revision was at when last seen; undefined where it never was. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    try {
      const commit = (await Deno.readTextFile(this.#ref(revision))).trim();
      return isCommit(commit) ? commit : undefined;
    } catch (error) {
      const { NotFound, NotADirectory, IsADirectory } = Deno.errors;
      const absent = [NotFound, NotADirectory, IsADirectory].some((kind) => error instanceof kind);
      if (absent) return undefined;
      throw error;
    }
  }

  /** Notes the commit that a branch or tag is at. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (await this.commitOf(revision) === commit) return;
    const path = this.#ref(revision);
    await Deno.mkdir(dirname(path), { recursive: true });
    await writeFileAtomic(path, commit);
  }

  /** Gives a blob its name in a snapshot. */
  async link(commit: string, { name, etag }: { name: string; etag: string }): Promise<void> {
    const path = join(this.snapshot(commit), name);
    if (await exists(path)) return;
    await Deno.mkdir(dirname(path), { recursive: true });
    const blob = this.blob(etag);
    await ignoring(Deno.errors.NotFound, () => Deno.remove(path)); // a link to a blob that is gone
    await ignoring(Deno.errors.AlreadyExists, async () => { // another process was faster
      try {
        await Deno.symlink(relative(dirname(path), blob), path);
      } catch (error) {
        if (error instanceof Deno.errors.AlreadyExists) throw error;
        // Deno allows a symbolic link only to programs that may write everywhere, Windows only to administrators.
        await Deno.link(blob, path);
      }
    });
  }

  #ref(revision: string): string {
    return join(this.#repository, "refs", ...revision.split("/"));
  }
}

/** Whether a folder is a snapshot of such a cache, so that what its files say comes from a stranger. */
export function isSnapshot(folder: string): boolean {
  return /[/\\]models--[^/\\]+[/\\]snapshots[/\\][0-9a-f]{40}$/.test(resolve(folder));
}

async function ignoring(
  // deno-lint-ignore no-explicit-any -- the constructor of any error
  kind: new (...args: any[]) => Error,
  action: () => Promise<void>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
  }
}
