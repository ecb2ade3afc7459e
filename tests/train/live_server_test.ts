import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { LiveCommand, LiveEvent } from "../../train/live_protocol.ts";
import { LiveServer } from "../../train/live_server.ts";

const TOKEN = "a-secret";

async function withServer(
  test: (server: LiveServer, commands: LiveCommand[]) => Promise<void>,
  options: { steerable?: boolean } = {},
): Promise<void> {
  const commands: LiveCommand[] = [];
  const { steerable = true } = options;
  const onCommand = (command: LiveCommand) => void commands.push(command);
  const server = new LiveServer({ token: TOKEN, ...(steerable && { onCommand }) });
  try {
    await test(server, commands);
  } finally {
    await server.close();
  }
}

function post(
  server: LiveServer,
  body: unknown,
  { token = TOKEN, origin = server.origin }: { token?: string; origin?: string } = {},
): Promise<Response> {
  return fetch(`${server.origin}/command`, {
    method: "POST",
    headers: { origin, "x-kl-guard-token": token, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** Reads events until `count` have come. */
async function readEvents(server: LiveServer, count: number): Promise<string[]> {
  const response = await fetch(`${server.origin}/events`);
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  let text = "";
  for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
    text += part;
    const events = [...text.matchAll(/^event: (.+)\ndata: (.+)\n\n/gm)].map((m) =>
      `${m[1]} ${m[2]}`
    );
    if (events.length >= count) return events;
  }
  throw new Error(`the stream ended after ${text}`);
}

const STATE: LiveEvent = {
  type: "state",
  state: { phase: "running", step: 1, totalSteps: 2, beta: 0.1, klTarget: 0.1, learningRate: 1e-4 },
};

Deno.test("LiveServer serves a page that may run nothing but its own scripts", () =>
  withServer(async (server) => {
    for (const path of ["/", "/charts.js", "/live.js", "/page.css", "/uplot.js", "/uplot.css"]) {
      const response = await fetch(server.origin + path);
      assertEquals(response.status, 200, path);
      assertStringIncludes(response.headers.get("content-security-policy")!, "default-src 'none'");
      assert((await response.text()).length > 100);
    }
    const missing = await fetch(server.origin + "/../deno.json");
    assertEquals(missing.status, 404);
    await missing.body?.cancel();
  }));

Deno.test("every viewer gets the history, then what happens", () =>
  withServer(async (server) => {
    server.push({ type: "run", name: "a", settings: {}, steerable: true });
    server.push({ type: "step", metrics: { step: 1 } });
    server.push(STATE);
    server.push({ type: "step", metrics: { step: 2 } });
    server.push(STATE); // replaces the other
    const viewers = [readEvents(server, 6), readEvents(server, 6)];
    await new Promise((resolve) => setTimeout(resolve, 50));
    server.push({ type: "guard", step: 2, message: "</script>" });
    for (const events of await Promise.all(viewers)) {
      assertEquals(events.map((event) => event.split(" ")[0]), [
        "reset",
        "run",
        "step",
        "step",
        "state",
        "guard",
      ]);
    }
  }));

Deno.test("a command needs the token, the page's own origin, and to be one", () =>
  withServer(async (server, commands) => {
    const statusOf = async (response: Promise<Response>) => {
      const { status, body } = await response;
      await body?.cancel();
      return status;
    };
    assertEquals(await statusOf(post(server, { do: "pause" }, { token: "wrong" })), 401);
    assertEquals(await statusOf(post(server, { do: "pause" }, { token: TOKEN + "x" })), 401);
    assertEquals(
      await statusOf(post(server, { do: "pause" }, { origin: "http://evil.example" })),
      403,
    );
    assertEquals(await statusOf(post(server, { do: "pause" }, { origin: "null" })), 403);
    for (
      const wrong of [
        "{",
        "null",
        { do: "format" },
        { do: "set-beta", value: -1 },
        { do: "set-target", value: 0 },
        { do: "set-beta", value: "1" },
        { do: "pause", and: "more" },
        { do: "complete", prompt: "  " },
        { do: "complete", prompt: "x".repeat(20_000) },
      ]
    ) {
      assertEquals(await statusOf(post(server, wrong)), 400, JSON.stringify(wrong));
    }
    const refusal = await post(server, { do: "set-target", value: 0 });
    assertEquals(
      await refusal.text(), // the page shows it
      "not a command: value: Too small: expected number to be >0",
    );
    assertEquals(await statusOf(fetch(`${server.origin}/command`)), 405);
    assertEquals(commands, []);

    assertEquals(await statusOf(post(server, { do: "pause" })), 204);
    assertEquals(await statusOf(post(server, { do: "set-beta", value: 0.5 })), 204);
    assertEquals(commands, [{ do: "pause" }, { do: "set-beta", value: 0.5 }]);
  }));

Deno.test("a page that only shows refuses commands", () =>
  withServer(async (server) => {
    const response = await post(server, { do: "stop" });
    assertEquals(response.status, 409);
    await response.body?.cancel();
  }, { steerable: false }));

Deno.test("a request under another host's name is refused, so that no page can read by rebinding", () =>
  withServer(async (server) => {
    const { hostname, port } = new URL(server.origin);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const request = "GET /events HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    await connection.write(new TextEncoder().encode(request));
    const answer = new Uint8Array(64);
    await connection.read(answer);
    assertStringIncludes(new TextDecoder().decode(answer), "HTTP/1.1 421");
    connection.close();
  }));
