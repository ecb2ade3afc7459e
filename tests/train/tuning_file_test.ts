import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { dryWebGpu, Gpu } from "../../kernels/runtime/mod.ts";
import { TuningFile } from "../../train/tuning_file.ts";
import { withFolder } from "../helpers/folder.ts";

const LIMITS = { bindingBytes: 2 ** 27, bufferBytes: 2 ** 31 };

/** The environment of a user whose caches are in `folder`. */
const userOf = (folder: string) => ({
  get: (name: string) => name === "XDG_CACHE_HOME" ? folder : undefined,
});

Deno.test("TuningFile keeps the choices of each adapter apart, in the user's cache", () =>
  withFolder(async (folder) => {
    const adapters = [0, 8].map((subgroupSize) => dryWebGpu(LIMITS, { subgroupSize }));
    const files = [];
    for (const webgpu of adapters) {
      using gpu = await Gpu.open({ webgpu });
      files.push(await TuningFile.of(gpu, userOf(folder)));
    }
    const [one, other] = files as [TuningFile, TuningFile];
    assertEquals(one.path, join(folder, "kl-guard", "tuning.json"));
    assertMatch(other.key, /^dry run; subgroups of 8; Deno \d.*; ways \d+$/);
    assertEquals(await one.read(), {}); // there is no file yet
    await one.write({ "nn 8 x 8 x 8": "squares 16" });
    await other.write({ "nn 8 x 8 x 8": "registers 8" });
    assertEquals(await one.read(), { "nn 8 x 8 x 8": "squares 16" });
    assertEquals(await other.read(), { "nn 8 x 8 x 8": "registers 8" });
  }));

Deno.test("a file of choices that is broken, or cannot be written, is as none", () =>
  withFolder(async (folder) => {
    using gpu = await Gpu.open({ webgpu: dryWebGpu(LIMITS) });
    const file = await TuningFile.of(gpu, userOf(folder));
    await Deno.mkdir(join(folder, "kl-guard"));
    for (const text of ["", "{", "[]", '{"a":1}', `{${JSON.stringify(file.key)}:{"a":1}}`]) {
      await Deno.writeTextFile(file.path!, text);
      assertEquals(await file.read(), {}, text);
    }
    await file.write({ "nn 8 x 8 x 8": "blocks" });
    assertEquals(await file.read(), { "nn 8 x 8 x 8": "blocks" });

    const occupied = join(folder, "occupied");
    await Deno.writeTextFile(occupied, "");
    for (const env of [userOf(occupied), { get: () => undefined }]) {
      const none = await TuningFile.of(gpu, env);
      await none.write({ "nn 8 x 8 x 8": "blocks" });
      assertEquals(await none.read(), {});
    }
  }));
