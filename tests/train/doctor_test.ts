import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { checkCache, checkDeno } from "../../train/health.ts";
import { checkDriver } from "../../train/health_driver.ts";
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
        "permission env",
        "permission read",
        "permission write",
        "permission net",
        "model cache",
        "adapter",
        ...(Deno.build.os === "linux" ? ["driver"] : []),
        "limits",
        "features",
        "kernels",
        "embedded model",
        "training",
      ],
    );
    assertEquals(findings.filter(({ status }) => status === "fail"), []);
    const found = Object.fromEntries(findings.map((finding) => [finding.name, finding]));
    assertMatch(found["kernels"].detail, /largest error/);
    assertEquals(found["embedded model"].status, "ok", found["embedded model"].detail);
    assertMatch(found["training"].detail, /log-ratio of the unmoved policy \d/);
  }));

Deno.test({
  name: "checkDriver() names Vulkan's drivers, and the GPU that none of them offers",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    withFolder(async (folder) => {
      for (const name of ["lvp_icd.x86_64.json", "nvidia_icd.json", "renderD128", "card0"]) {
        await Deno.writeTextFile(join(folder, name), "{}");
      }
      const places = { manifests: [folder], devices: [[folder, /^renderD\d+$/]] as const };
      const unused = await checkDriver(true, places);
      assertEquals(unused?.status, "warn");
      assertEquals(unused?.detail, `Vulkan by lvp, nvidia; none offers ${folder}/renderD128`);
      const used = await checkDriver(false, places);
      assertEquals([used?.status, used?.detail], ["ok", "Vulkan by lvp, nvidia"]);
      const none = await checkDriver(true, { manifests: [join(folder, "none")], devices: [] });
      assertEquals([none?.status, none?.detail], ["ok", "no Vulkan driver"]);
      const named = await checkDriver(true, { drivers: ["/a/lvp_icd.json"], devices: [] });
      assertEquals([named?.status, named?.detail], ["ok", "Vulkan by lvp"]);
    }),
});
