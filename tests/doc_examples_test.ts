/** The examples in the documentation of the code run as they stand. */

import { assert, assertMatch } from "@std/assert";

const ROOT = new URL("../", import.meta.url).pathname;

/** Files of the library with examples, relative to the root. */
function withExamples(path: string): string[] {
  if (Deno.statSync(ROOT + path).isDirectory) {
    return [...Deno.readDirSync(ROOT + path)].flatMap(({ name }) =>
      withExamples(`${path}/${name}`)
    );
  }
  if (!path.endsWith(".ts")) return [];
  return /^ \* ```ts$/m.test(Deno.readTextFileSync(ROOT + path)) ? [path] : [];
}

Deno.test("every example in a comment runs", async () => {
  const layers = ["kernels", "model", "reward", "train", "weights", "browser.ts", "mod.ts"];
  const permissions = ["--no-prompt", "--allow-read", "--allow-env"];
  const { success, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--doc", ...permissions, ...layers.flatMap(withExamples)],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  // Deno now and then aborts while it unloads the Vulkan driver, when every example has already run.
  assert(success || signal === "SIGABRT", out + err);
  assertMatch(out, /^ok \| \d{2} passed \| 0 failed/m); // more than a handful: they are found
});
