/** Reading files that come from strangers: nothing is opened that could wait or go on for ever. */

import { ModelFolderError } from "./errors.ts";

/**
 * Checks that `path` is a file with an end, or a link to one. The links are those of whoever set up
 * the folder, as the Hub's cache does; no name inside a downloaded file can bring one in.
 *
 * @throws {ModelFolderError} If it is a folder, a pipe or a device.
 * @throws {Deno.errors.NotFound} If there is nothing.
 */
export async function expectRegularFile(path: string): Promise<void> {
  const { isFile } = await Deno.stat(path);
  if (isFile) return;
  const problem = "it is a folder, a pipe or a device; put a file in its place";
  throw new ModelFolderError(`Cannot read ${path}: ${problem}`, { path });
}

/**
 * Reads a file.
 *
 * @throws {ModelFolderError} As {@linkcode expectRegularFile}.
 * @throws {Deno.errors.NotFound} If there is nothing.
 */
export async function readRegularFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  await expectRegularFile(path);
  return await Deno.readFile(path);
}
