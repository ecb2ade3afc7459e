import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { resolveModel, resolveModelFolder } from "../../weights/hub.ts";
import { listTree } from "../helpers/folder.ts";
import { assertHubError, withHub } from "../helpers/hub.ts";
import { cutShort, gitSha1, refuse, sha256, TINY, WEIGHTS } from "../helpers/hub_server.ts";

Deno.test("a download that broke off goes on where it was", () =>
  withHub(async ({ server, options, cacheDir }) => {
    const content = TINY.files[WEIGHTS]!;
    let cut = true;
    server.fault = ({ host }, usual) => {
      if (host !== "cdn") return undefined;
      return cut ? cutShort(usual(), 200_000) : undefined;
    };
    // Each attempt adds to the file, so that a program that goes on trying gets there ...
    await resolveModel("tiny/gpt2", options);
    assertEquals(server.downloads(WEIGHTS).map(({ range }) => range), [
      null,
      "bytes=200000-",
      "bytes=400000-",
    ]);
    // ... and what a program that was ended has left is taken over by the next.
    const blob = `${cacheDir}/models--tiny--gpt2/blobs/${sha256(content)}`;
    const part = content.slice(0, 123_456);
    await Deno.remove(blob);
    await Deno.writeFile(`${blob}.incomplete`, part);
    cut = false;
    server.seen.length = 0;
    const folder = await resolveModelFolder("tiny/gpt2", options);
    assertEquals(server.downloads(WEIGHTS).map(({ range }) => range), ["bytes=123456-"]);
    assertEquals(await Deno.readFile(join(folder, WEIGHTS)), content);
  }));

Deno.test("a connection that breaks off again and again is given up, and what came is kept", () =>
  withHub(async ({ server, options, cacheDir }) => {
    let requests = 0;
    server.fault = ({ host }, usual) => {
      if (host !== "cdn") return undefined;
      return cutShort(usual(), requests++ === 0 ? 7000 : 0);
    };
    const broken = resolveModel("tiny/gpt2", { ...options, retryMs: 1 });
    await assertHubError(broken, "unreachable", "127.0.0.1", "broke off several times", "is kept");
    assertEquals(requests, 5); // the first and four retries
    const partial = `models--tiny--gpt2/blobs/${sha256(TINY.files[WEIGHTS]!)}.incomplete`;
    assertEquals((await Deno.stat(`${cacheDir}/${partial}`)).size, 7000);
  }));

Deno.test("a server without ranges sends everything again", () =>
  withHub(async ({ server, options }) => {
    let requests = 0;
    server.fault = ({ host }, usual) => {
      if (host !== "cdn") return undefined;
      requests++;
      if (requests === 1) return cutShort(usual(), 1000);
      return new Response(TINY.files[WEIGHTS]);
    };
    const folder = await resolveModelFolder("tiny/gpt2", options);
    assertEquals(await Deno.readFile(join(folder, WEIGHTS)), TINY.files[WEIGHTS]);
    assertEquals(requests, 2);
  }));

Deno.test("what does not have its hash or its size gets no name", () =>
  withHub(async ({ server, options, cacheDir }) => {
    const content = TINY.files[WEIGHTS]!;
    const blobs = `${cacheDir}/models--tiny--gpt2/blobs`;
    const partial = `${sha256(content)}.incomplete`;
    const flipped = content.slice();
    flipped[1000]! ^= 1;

    for (const wrong of [flipped, new Uint8Array([...content, 0])]) {
      server.fault = ({ host }) => host === "cdn" ? new Response(wrong) : undefined;
      const says = wrong === flipped ? "has the hash" : `454001 bytes arrived of a file of 454000`;
      await assertHubError(resolveModel("tiny/gpt2", options), "corrupt", WEIGHTS, says);
      const left = await listTree(blobs);
      assertEquals(left.filter((name) => name.startsWith(sha256(content))), []);
    }

    await Deno.remove(`${blobs}/${gitSha1(TINY.files["generation_config.json"]!)}`);
    const reversed = TINY.files["generation_config.json"]!.slice().reverse();
    server.fault = ({ path, method }) =>
      method === "GET" && /^\/api.*generation_config.json$/.test(path)
        ? new Response(reversed)
        : undefined;
    await assertHubError(resolveModel("tiny/gpt2", options), "corrupt", "generation_config.json");

    // An old part with another beginning is thrown away once.
    server.fault = () => undefined;
    await Deno.writeFile(`${blobs}/${partial}`, flipped.subarray(0, 2000));
    await Deno.remove(`${blobs}/${sha256(content)}`).catch(() => {});
    server.seen.length = 0;
    const folder = await resolveModelFolder("tiny/gpt2", options);
    assertEquals(server.downloads(WEIGHTS).map(({ range }) => range), ["bytes=2000-", null]);
    assertEquals(await Deno.readFile(join(folder, WEIGHTS)), content);
  }));

Deno.test("no network is an error, or the model as it was last seen", () =>
  withHub(async ({ server, options }) => {
    const folder = await resolveModelFolder("tiny/gpt2", options);
    const said: string[] = [];
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const endpoint = `http://127.0.0.1:${listener.addr.port}`;
    listener.close(); // nobody answers there any more
    const lost = { ...options, endpoint, say: (line: string) => said.push(line) };
    assertEquals(await resolveModelFolder("tiny/gpt2", lost), folder);
    assertMatch(said.join(), /^no good answer from 127.*; using tiny\/gpt2 as last seen, at 607a/);
    await assertHubError(
      resolveModel("gpt2", lost),
      "unreachable",
      "no such folder here, and 127.0.0.1:",
      "Connection refused",
      "HF_ENDPOINT",
    );

    server.fault = () => refuse(503, "");
    assertEquals(await resolveModelFolder("tiny/gpt2", { ...options, retryMs: 1 }), folder);
  }));

Deno.test("what passes is tried again, with the pause that the server asks for", () =>
  withHub(async ({ server, options }) => {
    const answers = [503, 429, 500, 200];
    const times: number[] = [];
    server.fault = ({ path }) => {
      if (!path.endsWith("main/config.json")) return undefined;
      times.push(performance.now());
      const status = answers.shift()!;
      return status === 200
        ? undefined
        : refuse(status, "", { "retry-after": status === 429 ? "1" : "0" });
    };
    await resolveModel("tiny/gpt2", options);
    assertEquals(times.length, 4);
    const pause = times[2]! - times[1]!;
    if (pause < 990) throw new Error(`it waited ${pause} ms, asked to wait 1000`);

    server.fault = () => refuse(429, "", { ratelimit: '"api";r=0;t=301' }); // too long to wait for
    await assertHubError(resolveModel("gpt2", options), "busy", "too many requests", "HF_TOKEN");
    server.fault = () => refuse(502, "");
    await assertHubError(resolveModel("gpt2", options), "busy", "answered 502", "try again later");
  }));

Deno.test("silence ends a request, before its answer and within it", () =>
  withHub(async ({ server, options }) => {
    const open: { resolve(response: Response): void }[] = [];
    const never = () => {
      const answer = Promise.withResolvers<Response>();
      open.push(answer);
      return answer.promise;
    };
    server.fault = never;
    await assertHubError(
      resolveModel("gpt2", { ...options, timeoutMs: 100 }),
      "unreachable",
      "said nothing for 0.1 s",
    );

    let stalled = 0;
    const bodies: ReadableStreamDefaultController[] = [];
    server.fault = ({ host, range }) => {
      if (host !== "cdn" || range !== null) return undefined;
      stalled++;
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(TINY.files[WEIGHTS]!.slice(0, 5000));
          bodies.push(controller);
        },
      });
      return new Response(body);
    };
    await resolveModel("tiny/gpt2", { ...options, timeoutMs: 500 });
    assertEquals([stalled, server.downloads(WEIGHTS).at(-1)!.range], [1, "bytes=5000-"]);
    for (const answer of open) answer.resolve(new Response());
  }));
