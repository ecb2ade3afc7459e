import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { HubOptions } from "../../weights/hub_options.ts";
import { withHub } from "../helpers/hub.ts";
import { COMMIT, TINY, TINY_FILES, WEIGHTS } from "../helpers/hub_server.ts";

/** Resolves the tiny model in a process of its own. */
function spawnResolve(options: HubOptions, permissions = ["--allow-read", "--allow-write"]) {
  const script = new URL("../helpers/resolve_model.ts", import.meta.url).href;
  const flags = ["--no-check", "--no-prompt", "--allow-net=127.0.0.1,localhost", ...permissions];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, script, "tiny/gpt2", JSON.stringify(options)],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function outputOf(process: Deno.ChildProcess): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await process.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, text: out + err! };
}

Deno.test("of two processes one downloads and the other waits; a killed one holds up nobody", () =>
  withHub(async ({ server, options, cacheDir }) => {
    const asked = Promise.withResolvers<void>();
    const bodies: ReadableStreamDefaultController[] = [];
    server.fault = ({ host }) => { // the first download stalls in the middle
      if (host !== "cdn" || bodies.length > 0) return undefined;
      const body = new ReadableStream({
        start(controller) {
          bodies.push(controller);
          controller.enqueue(TINY.files[WEIGHTS]!.slice(0, 100_000));
        },
      });
      asked.resolve();
      return new Response(body);
    };
    const first = spawnResolve({ ...options, timeoutMs: 60_000 });
    await asked.promise;
    const second = spawnResolve(options);
    const lines = second.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
    assertMatch((await lines.next()).value!, /^another process downloads model.safetensors; wait/);

    first.kill("SIGKILL");
    assertEquals((await outputOf(first)).code, 137);
    let text = "";
    for await (const part of { [Symbol.asyncIterator]: () => lines }) text += part;
    assertStringIncludes(text, `snapshots/${COMMIT}`);
    assertEquals((await second.status).code, 0);
    await second.stderr.cancel();
    assertEquals(server.downloads(WEIGHTS).map(({ range }) => range), [null, "bytes=100000-"]);
    const content = await Deno.readFile(
      `${cacheDir}/models--tiny--gpt2/snapshots/${COMMIT}/${WEIGHTS}`,
    );
    assertEquals(content, TINY.files[WEIGHTS]);
  }));

Deno.test("two processes at once fetch every file once", () =>
  withHub(async ({ server, options }) => {
    const [a, b] = await Promise.all([1, 2].map(() => outputOf(spawnResolve(options))));
    assertEquals([a!.code, b!.code], [0, 0], a!.text + b!.text);
    for (const name of TINY_FILES) assertEquals(server.downloads(name).length, 1, name);
  }));

Deno.test("a program that may write to the cache alone links without symbolic links", () =>
  withHub(async ({ options, cacheDir }) => {
    const permissions = ["--allow-read", `--allow-write=${cacheDir}`];
    const { code, text } = await outputOf(spawnResolve(options, permissions));
    assertEquals(code, 0, text);
    const folder = `${cacheDir}/models--tiny--gpt2/snapshots/${COMMIT}`;
    const { isSymlink, nlink } = await Deno.lstat(`${folder}/${WEIGHTS}`);
    assertEquals([isSymlink, nlink], [false, 2]);
    assertEquals(await Deno.readFile(`${folder}/${WEIGHTS}`), TINY.files[WEIGHTS]);

    const readOnly = await outputOf(
      spawnResolve({ ...options, cacheDir: "/nowhere" }, permissions),
    );
    assertStringIncludes(readOnly.text, "Cannot use the cache /nowhere: this program may not");
    const endpoint = "http://hub.example";
    const elsewhere = await outputOf(spawnResolve({ ...options, cacheDir: "/nowhere", endpoint }));
    assertStringIncludes(elsewhere.text, "may not ask hub.example:80; run it");
  }));
