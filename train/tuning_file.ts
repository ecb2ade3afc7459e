/** How products are computed fastest on this machine's adapters, as measured, kept in the user's cache between runs. */

import { join } from "node:path";
import { z } from "zod";
import type { Gpu } from "../kernels/runtime/mod.ts";
import { TUNING_VERSION } from "../kernels/tune.ts";
import { writeFileAtomic } from "../weights/atomic.ts";
import { cacheHome, type Environment } from "../weights/hub_options.ts";

/** By adapter and driver, by kind of product. */
const FILE = z.record(z.string(), z.record(z.string(), z.string()));

/** Where Vulkan drivers on Linux are announced by files that a new version of theirs replaces. */
const MANIFESTS = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/** The file of choices, for programs; a machine where it cannot be read or written measures again every time. */
export class TuningFile {
  private constructor(readonly path: string | undefined, readonly key: string) {}

  /** The file in the cache of a user, and in it what belongs to an adapter with its driver. */
  static async of(gpu: Gpu, env: Environment): Promise<TuningFile> {
    const home = cacheHome(env);
    return new TuningFile(home && join(home, "kl-guard", "tuning.json"), await keyOf(gpu));
  }

  /** What was chosen before; nothing where the file is absent or broken, since it can be made again. */
  async read(): Promise<Readonly<Record<string, string>>> {
    return (await this.#readAll())[this.key] ?? {};
  }

  /** Keeps choices in place of those that the adapter had. */
  async write(choices: Readonly<Record<string, string>>): Promise<void> {
    if (this.path === undefined) return;
    const all = { ...await this.#readAll(), [this.key]: choices };
    try {
      await Deno.mkdir(join(this.path, ".."), { recursive: true });
      await writeFileAtomic(this.path, JSON.stringify(all, null, 2) + "\n");
    } catch {
      /* a cache that cannot be written costs the next run its measurements, and nobody a run */
    }
  }

  async #readAll(): Promise<z.infer<typeof FILE>> {
    if (this.path === undefined) return {};
    try {
      return FILE.parse(JSON.parse(await Deno.readTextFile(this.path)));
    } catch {
      return {};
    }
  }
}

/**
 * Adapter, lanes of its subgroups, Deno and drivers: WebGPU names no version of a driver, but its files have a date. And what
 * there was to choose among.
 */
async function keyOf({ description, subgroupSize }: Gpu): Promise<string> {
  const dates: string[] = [];
  for (const folder of MANIFESTS) {
    try {
      for await (const { name } of Deno.readDir(folder)) {
        const { mtime } = await Deno.stat(join(folder, name));
        if (mtime) dates.push(mtime.toISOString());
      }
    } catch { /* no such folder here */ }
  }
  const newest = dates.sort().at(-1);
  const system = `${Deno.build.os} ${Deno.build.arch}`;
  return [
    description,
    `subgroups of ${subgroupSize}`,
    `Deno ${Deno.version.deno}, ${system}`,
    ...(newest ? [`drivers of ${newest}`] : []),
    `ways ${TUNING_VERSION}`,
  ].join("; ");
}
