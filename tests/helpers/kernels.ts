import type { Kernel } from "../../kernels/runtime/mod.ts";

const FOLDER = new URL("../../kernels/", import.meta.url);

/** Every kernel that a module in kernels/ lists as its `KERNELS`, once. */
export async function allKernels(): Promise<Kernel[]> {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name)
    .filter((name) => name.endsWith(".ts"))
    .sort();
  const kernels = new Set<Kernel>();
  for (const file of files) {
    const module: { KERNELS?: readonly Kernel[] } = await import(new URL(file, FOLDER).href);
    for (const kernel of module.KERNELS ?? []) kernels.add(kernel);
  }
  return [...kernels];
}
