import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { HubError } from "../../weights/hub_errors.ts";
import { HubClient } from "../../weights/hub_client.ts";
import { hideSecret, holdsSecret } from "../../weights/secrets.ts";

const SECRET: Record<string, string> = {
  "https://me:hunter2@host/a": "https://…@host/a",
  "HTTP://hunter2@host": "HTTP://…@host",
  "https:/me:hunter2@host/a?b=c": "https:/…@host/a?…",
  "https:\\\\me:hunter2@host\\a": "https:\\\\…@host\\a",
  " https://me:hun\tter2@host/a": "https://…@host/a",
  "https://me:a@b@hunter2@host/a": "https://…@host/a",
  "https://host/a?model=b&api_key=hunter2": "https://host/a?…",
  "https://host/a?access%5Ftoken=hunter2#x": "https://host/a?…",
  "https://host/a?X-Amz-Signature=hunter2": "https://host/a?…",
  "https://host/a?sig=hunter2": "https://host/a?…",
};
for (const [url, shown] of Object.entries(SECRET)) {
  Deno.test(`hideSecret() shows ${shown}`, () => {
    assert(holdsSecret(url));
    assertEquals(hideSecret(url), shown);
  });
}

Deno.test("hideSecret() leaves other texts as they are", () => {
  const others = [
    "",
    "gpt2",
    "me@host",
    "runs/a?key=b",
    "https://host/a@b",
    "http://127.0.0.1:80/s?m=1",
  ];
  for (const text of others) {
    assertEquals(holdsSecret(text), false);
    assertEquals(hideSecret(text), text);
  }
});

for (const endpoint of ["https://me:hunter2@mirror/", "me:hunter2@mirror", "ftp://me:hunter2@m"]) {
  Deno.test(`an endpoint with a password is refused without it: ${endpoint}`, async () => {
    const open = HubClient.open({ id: "gpt2", revision: "main" }, { endpoint });
    const { message } = await assertRejects(() => open, HubError);
    assertStringIncludes(message, "Cannot use the endpoint …@m");
    assertEquals(message.includes("hunter2"), false);
  });
}

Deno.test("no error of a download shows the token, nor what signs an address", async () => {
  const signed = "/blob?X-Amz-Signature=hunter2";
  // Says where the file lies, and hangs up there.
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) =>
      request.url.endsWith(signed)
        ? new Response(new ReadableStream({ pull: (it) => it.error(new Error("hang up")) }))
        : new Response(null, { status: 302, headers: { location: signed } }),
  );
  const endpoint = `http://127.0.0.1:${server.addr.port}`;
  const token = "hf_hunter2";
  for (const address of [endpoint, "http://127.0.0.1:1"]) {
    const options = { endpoint: address, token, retryMs: 1, timeoutMs: 500 };
    const client = await HubClient.open({ id: "gpt2", revision: "main" }, options);
    const failures = [
      () => client.describe("config.json"),
      async () => {
        const remote = { name: "config.json", commit: "0".repeat(40), etag: "a", sizeBytes: 1 };
        const { signal } = new AbortController();
        await (await client.download(remote, { from: 0, signal })).text();
        throw new HubError("corrupt", "read, so nothing to look at");
      },
    ];
    for (const fail of failures) {
      const error = await assertRejects(fail);
      assert(error instanceof Error);
      assertEquals(error.message.includes("hunter2"), false, error.message);
    }
  }
});
