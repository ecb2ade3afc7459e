import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { checkCache, checkDeno } from "../../train/health.ts";
import { withFolder } from "../helpers/folder.ts";
import { runProgram } from "../helpers/program.ts";

Deno.test("checkDeno() refuses what is older than 2.9", () => {
  const statuses = ["2.8.9", "1.46.3", "2.9.0", "2.10.1", "3.0.0"].map((v) => checkDeno(v).status);
  assertEquals(statuses, ["fail", "fail", "ok", "ok", "ok"]);
});

Deno.test("checkCache() says what to do where the folder cannot be made", () =>
  withFolder(async (folder) => {
    assertEquals((await checkCache(join(folder, "a/b"))).status, "ok");
    const file = join(folder, "file");
    await Deno.writeTextFile(file, "");
    const { status, advice } = await checkCache(join(file, "hub"));
    assertEquals(status, "warn");
    assertStringIncludes(advice!, "HF_HUB_CACHE");
  }));

Deno.test("doctor looks at everything, and exits with 0 on a machine that can train", () =>
  withFolder(async (folder) => {
    const { code, stdout } = await runProgram("doctor", ["--json"], { HF_HUB_CACHE: folder });
    const findings = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(code, 0, stdout);
    assertEquals(
      findings.map(({ name }) => name),
      [
        "Deno",
        "permission read",
        "permission write",
        "permission net",
        "model cache",
        "adapter",
        "limits",
        "kernels",
        "embedded model",
      ],
    );
    assertEquals(findings.filter(({ status }) => status === "fail"), []);
    assertMatch(findings[7].detail, /largest error/);
  }));
