import { assertEquals } from "@std/assert";
import { type Kernel, wgslOf } from "../../kernels/runtime/mod.ts";
import { allKernels } from "../helpers/kernels.ts";

// This folder has a configuration of its own, and the import below a name that is not read from the text,
// so that nobody but this test downloads Dawn, which is larger than all of the project.
const DAWN = "webgpu";
const { create }: { create(options: string[]): GPU } = await import(DAWN);

/**
 * Dawn without a driver: its WGSL compiler is all that is asked for, and it refuses some older drivers.
 *
 * At module level, since Dawn crashes if this is collected before its devices.
 */
const dawn = create(["backend=null"]);

/** WGSL as a browser wants it: Deno's compiler has subgroup operations without asking, and refuses the line. */
function strictWgsl(kernel: Kernel): string {
  return (kernel.subgroups ? "enable subgroups;\n" : "") + wgslOf(kernel);
}

// Deno's compiler does not check uniformity, so it accepts a barrier in a branch, on which a GPU may hang.
Deno.test("every kernel compiles in Dawn, the second opinion", async () => {
  const adapter = await dawn.requestAdapter();
  const device = await adapter!.requestDevice({
    requiredFeatures: ["subgroups", "shader-f16"] as GPUFeatureName[],
  });
  const errors: string[] = [];
  for (const kernel of await allKernels()) {
    const module = device.createShaderModule({ label: kernel.label, code: strictWgsl(kernel) });
    const { messages } = await module.getCompilationInfo();
    errors.push(
      ...messages.filter(({ type }) => type === "error")
        .map(({ lineNum, linePos, message }) => `${kernel.label}:${lineNum}:${linePos} ${message}`),
    );
  }
  device.destroy();
  assertEquals(errors, []);
});
