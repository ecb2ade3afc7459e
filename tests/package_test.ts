/** The project as a package: its documentation, what is published, and that the tarball works where nothing else is. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import deno from "../deno.json" with { type: "json" };
import { Gpu, loadCausalLM } from "../mod.ts";
import { outcomeOf } from "./helpers/program.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const MODEL = "weights/review-gpt2";
const PROMPT = "The movie was";

/** JSR takes packages of up to 20 MiB. */
const MOST_BYTES = 20 * 2 ** 20;

/** What a user of the package writes. */
const PROGRAM = `
import { Gpu, loadCausalLM } from "${deno.name}";
import { fileURLToPath } from "node:url";

const folder = new URL("${MODEL}", import.meta.resolve("${deno.name}"));
using gpu = await Gpu.open();
using model = await loadCausalLM(gpu, fileURLToPath(folder));
const { texts } = await model.generate(["${PROMPT}"], { maxNewTokens: 12, greedy: true });
console.log(texts[0]);
`;

/** Runs deno without a network; returns what it said, without colours. */
async function run(args: readonly string[], cwd = ROOT): Promise<{ ok: boolean; said: string }> {
  const options = { args: [...args], cwd, env: { NO_COLOR: "1" } };
  const { code, stdout, stderr } = await outcomeOf(Deno.execPath(), options);
  return { ok: code === 0, said: stdout + stderr };
}

/** Files that a dry run names, relative to the root, and the warnings before them. */
function published(said: string): { files: string[]; warnings: string[] } {
  const root = new URL("../", import.meta.url).href;
  const files = [...said.matchAll(/^ +(file:\S+) \(/gm)].map(([, url]) => url.slice(root.length));
  const warnings = [...said.matchAll(/^warning\[(.*?)\].*\n +--> (.*?):/gm)]
    .map(([, kind, path]) => `${kind} ${path.slice(ROOT.length)}`);
  return { files, warnings };
}

Deno.test("every public name is documented, and names only public types", async () => {
  const { ok, said } = await run(["doc", "--lint", ...Object.values(deno.exports)]);
  assert(ok, said);
});

Deno.test("deno publish finds nothing wrong, and takes what a user needs", async () => {
  const { ok, said } = await run(["publish", "--dry-run", "--allow-dirty"]);
  assert(ok, said);
  const { files, warnings } = published(said);
  // A reward in a module of the user's is found when it is loaded, and not before.
  assertEquals(warnings, ["unanalyzable-dynamic-import train/load_reward_module.ts"]);
  const tops = new Set(files.map((path) => path.split("/")[0]));
  for (const top of ["mod.ts", "deno.json", "LICENSE", "README.md", "kernels", "weights"]) {
    assert(tops.has(top), `${top} is not published`);
  }
  for (const top of ["tests", ".ci", ".github"]) assert(!tops.has(top), `${top} is published`);
  let bytes = 0;
  for (const path of files) bytes += (await Deno.stat(ROOT + path)).size;
  assert(bytes < MOST_BYTES, `the package has ${bytes} bytes`);
});

Deno.test("the tarball of deno pack generates what the source does", async () => {
  const folder = await Deno.makeTempDir({ prefix: "kl-guard-" });
  try {
    const tarball = `${folder}/package.tgz`;
    const packed = await run(["pack", "--allow-dirty", "--output", tarball]);
    assert(packed.ok, packed.said);
    assert((await Deno.stat(tarball)).size < MOST_BYTES);

    await unpack(tarball, folder);
    await install(folder);
    const { ok, said } = await run(
      ["run", "--cached-only", "--no-lock", "--no-prompt", "--allow-read", "program.ts"],
      folder,
    );
    assert(ok, said);
    assertEquals(said, await ownText() + "\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Unpacks a tarball into `package`, as npm has it. */
async function unpack(tarball: string, folder: string): Promise<void> {
  const file = await Deno.open(tarball);
  const bytes = await new Response(file.readable.pipeThrough(new DecompressionStream("gzip")))
    .bytes();
  const text = (from: number, to: number) =>
    new TextDecoder().decode(bytes.subarray(from, to)).replace(/\0.*/s, "");
  for (let at = 0; bytes[at] !== 0;) { // ustar: 512 bytes of header, then the file in blocks of 512
    const size = parseInt(text(at + 124, at + 136), 8);
    const prefix = text(at + 345, at + 500);
    const path = `${folder}/${prefix && prefix + "/"}${text(at, at + 100)}`;
    assertMatch(path, /\/package\/[^.]/);
    await Deno.mkdir(path.replace(/[^/]*$/, ""), { recursive: true });
    await Deno.writeFile(path, bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

/** Makes a project that has the package and what it depends on, in the versions of the lock file, and no more. */
async function install(folder: string): Promise<void> {
  const { name, dependencies } = JSON.parse(
    await Deno.readTextFile(`${folder}/package/package.json`),
  );
  const names = Object.keys(dependencies);
  const imports = Object.fromEntries(
    Object.entries(deno.imports).filter(([, specifier]) =>
      names.some((each) => specifier.match(/^npm:\/?(.+)@/)![1] === each)
    ),
  );
  await Deno.writeTextFile(
    `${folder}/deno.json`,
    JSON.stringify({ nodeModulesDir: "manual", imports }),
  );
  await Deno.copyFile(`${ROOT}/deno.lock`, `${folder}/deno.lock`);
  const { ok, said } = await run(["install", "--cached-only"], folder);
  assert(ok, said);
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify({ nodeModulesDir: "manual" }));
  await Deno.mkdir(`${folder}/node_modules/${name.split("/")[0]}`);
  await Deno.rename(`${folder}/package`, `${folder}/node_modules/${name}`);
  await Deno.writeTextFile(`${folder}/program.ts`, PROGRAM);
}

async function ownText(): Promise<string> {
  using gpu = await Gpu.open();
  using model = await loadCausalLM(gpu, MODEL);
  const { texts } = await model.generate([PROMPT], { maxNewTokens: 12, greedy: true });
  return texts[0];
}
