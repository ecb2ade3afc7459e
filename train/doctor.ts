/**
 * `deno task doctor`: looks at the machine and says what is missing and what to do about it.
 *
 * @module
 */
import { defaultCacheDir, hubOptionsFromEnv } from "../weights/hub_options.ts";
import { checkCache, checkDeno, checkGpu, checkPermissions, type Finding } from "./health.ts";
import { output, programCommand, reportError } from "./program.ts";

/** Its flags. */
export const command = programCommand(
  "doctor",
  "Check what training needs: Deno, permissions, cache, adapter, kernels.",
)
  .option("--json", "print one JSON value a line instead of text")
  .addHelpText("after", "\nThe exit status is 1 where something that training needs is missing.");

const STYLES = { ok: "green", warn: "yellow", fail: "red" } as const;

if (import.meta.main) await reportError(main);

async function main(): Promise<void> {
  const { json: asJson = false } = command.parse(Deno.args, { from: "user" }).opts();
  const { say, json } = output({ json: asJson });
  let failed = false;
  const show = (finding: Finding) => {
    json(finding);
    const { name, status, detail, advice } = finding;
    say(`${status.padEnd(4)}  ${name.padEnd(16)}  ${detail}`, STYLES[status]);
    if (advice) say(`${" ".repeat(24)}-> ${advice}`);
    failed ||= status === "fail";
  };
  show(checkDeno(Deno.version.deno));
  for (const finding of await checkPermissions()) show(finding);
  if (await mayRead("HF_HOME")) {
    show(await checkCache(hubOptionsFromEnv(Deno.env).cacheDir ?? defaultCacheDir()));
  }
  for (const finding of await checkGpu(await namedDrivers())) show(finding);
  if (failed) Deno.exit(1);
}

/** The manifests of the drivers that Vulkan's loader has been told to use instead of those installed. */
async function namedDrivers(): Promise<string[] | undefined> {
  for (const variable of ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]) {
    const paths = await mayRead(variable) && Deno.env.get(variable);
    if (paths) return paths.split(":");
  }
  return undefined;
}

async function mayRead(variable: string): Promise<boolean> {
  return (await Deno.permissions.query({ name: "env", variable })).state === "granted";
}
