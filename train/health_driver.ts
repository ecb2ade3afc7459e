/** What drivers and GPUs a Linux machine has, for who wonders why the one is not used. */

import { join } from "node:path";
import type { Finding } from "./health.ts";

/** Where Vulkan's loader looks for drivers, in its order. */
const MANIFESTS = ["/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/** What the kernel offers of GPUs. */
const DEVICES: [folder: string, name: RegExp][] = [
  ["/dev/dri", /^renderD\d+$/],
  ["/dev", /^nvidia\d+$/],
];

/**
 * The Vulkan drivers of this machine by the names of their manifests, such as `lvp` or `nvidia`, and whether there is a GPU
 * that none of them offers. Undefined on other systems, which bring their drivers along.
 *
 * @param software Whether the adapter that was found is a program on the CPU.
 * @param options.drivers Paths of the manifests that the loader was told to use; without them, it looks in its folders.
 */
export async function checkDriver(
  software: boolean,
  { drivers, manifests = MANIFESTS, devices = DEVICES }: {
    drivers?: readonly string[] | undefined;
    manifests?: readonly string[];
    devices?: readonly (readonly [folder: string, name: RegExp])[];
  } = {},
): Promise<Finding | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  const files = drivers ??
    (await Promise.all(manifests.map((folder) => namesIn(folder, /\.json$/)))).flat();
  const names = files.map((path) => path.replace(/^.*\/|(_icd)?(\.[\w-]+)?\.json$/g, ""));
  const gpus = (await Promise.all(devices.map(([folder, name]) => namesIn(folder, name)))).flat();
  const name = "driver";
  const detail = names.length === 0 ? "no Vulkan driver" : `Vulkan by ${names.join(", ")}`;
  if (software && gpus.length > 0) {
    return {
      name,
      status: "warn",
      detail: `${detail}; none offers ${gpus.join(", ")}`,
      advice:
        "install the GPU's own driver (of AMD and Intel: mesa-vulkan-drivers), and join the " +
        "group that may open the device: usermod -aG render,video $USER",
    };
  }
  return { name, status: "ok", detail };
}

async function namesIn(folder: string, name: RegExp): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return entries.filter((entry) => name.test(entry.name)).map((entry) => join(folder, entry.name))
      .sort();
  } catch {
    return []; // not there, or not to be read: then nothing is known of it
  }
}
