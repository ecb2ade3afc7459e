/**
 * Runs the tests: `deno task test`, or `deno task test kernels/matmul --filter=gelu` for a part of them.
 *
 * Words select test files whose path contains one of them; options, with their values after a `=`, go to
 * `deno test`. Every folder under tests/ runs in a process of its own, so that a crash names its folder, and
 * one at a time, since all share one GPU. The folders whose kernels use subgroup operations, where the
 * adapter has them, run a second time without. The last line is `N passed, N failed`, followed by
 * `, N skipped` where tests were ignored.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";

/** Folders that run with and without subgroup operations; tests/helpers/gpu.ts reads the variable. */
const TWICE = ["kernels", "model"];
const WITHOUT_SUBGROUPS = { KL_GUARD_SUBGROUPS: "off" };

/** No network but loopback: fixtures are in the repository, and packages are in the cache before a test starts. */
const PERMISSIONS = [
  "--no-prompt",
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-net=127.0.0.1,localhost",
  "--allow-sys",
  // Programs are tested as programs. Naming those that may be started would keep LD_LIBRARY_PATH from them, by which
  // the Vulkan driver may have to be found.
  "--allow-run",
];

/** Dawn, the second compiler, is a native library with a lock file of its own. */
const FOR_DAWN = ["--config=tests/dawn/deno.json", "--no-prompt", "--allow-read", "--allow-ffi"];

/** The browser's driver has a lock file of its own too. */
const FOR_BROWSER = ["--config=tests/browser/deno.json", ...PERMISSIONS];

/** Folders that run with another configuration. */
const SPECIAL: Record<string, string[]> = { dawn: FOR_DAWN, browser: FOR_BROWSER };

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Test files below `folder`, in alphabetical order, as paths that begin with `folder`. */
function testFiles(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) return testFiles(path);
    return entry.name.endsWith("_test.ts") ? [path] : [];
  }).sort();
}

/** `tests/kernels/gelu_test.ts` -> `kernels`; a file directly in tests/ is its own group. */
function groupOf(path: string): string {
  return path.split("/")[1]!.replace(/_test\.ts$/, "");
}

/** Runs `deno test`, shows its output as it comes, and counts. */
async function runGroup(
  name: string,
  { args, env }: { args: string[]; env: Record<string, string> },
): Promise<Counts> {
  console.log(`\n=== ${name} ===`);
  const child = new Deno.Command("deno", {
    args: ["test", ...args],
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();

  const decoder = new TextDecoder();
  let output = "";
  for await (const bytes of child.stdout) {
    for (let sent = 0; sent < bytes.length;) sent += await Deno.stdout.write(bytes.subarray(sent));
    output += decoder.decode(bytes, { stream: true });
  }
  const { code, signal } = await child.status;

  // The last one: a test may show the output of another `deno test`.
  const summary = /^(ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?:.*? \| (\d+) ignored)?/gm;
  const summaries = [...stripVTControlCharacters(output).matchAll(summary)];
  const [, verdict, passed, failed, skipped] = summaries.at(-1) ?? [];
  const counts = {
    passed: Number(passed ?? 0),
    failed: Number(failed ?? 0),
    skipped: Number(skipped ?? 0),
  };
  if (code === 0 || counts.failed > 0) return counts;
  if (verdict === "ok" && signal === "SIGABRT") {
    // Deno now and then aborts while it unloads the Vulkan driver, when every test has already passed.
    console.log(`${name}: the process aborted after its last test, which is no failure`);
    return counts;
  }
  console.log(`${name}: ended with ${signal ?? `exit status ${code}`}, counted as one failure`);
  return { ...counts, failed: 1 };
}

const words = Deno.args.filter((argument) => !argument.startsWith("-"));
const options = Deno.args.filter((argument) => argument.startsWith("-"));
const selected = testFiles("tests")
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)));
if (selected.length === 0) {
  console.error(`Cannot run tests: no test file has ${words.join(" or ")} in its path`);
  Deno.exit(1);
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
for (const [group, files = []] of Object.entries(Object.groupBy(selected, groupOf))) {
  const settings = SPECIAL[group] ?? PERMISSIONS;
  const passes = [{ name: group, env: {} }];
  if (TWICE.includes(group)) {
    passes.push({ name: `${group}, without subgroups`, env: WITHOUT_SUBGROUPS });
  }
  for (const { name, env } of passes) {
    const counts = await runGroup(name, { args: [...settings, ...options, ...files], env });
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
  }
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
Deno.exit(total.failed > 0 ? 1 : 0);
