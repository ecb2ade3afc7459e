import { assertEquals, assertStringIncludes } from "@std/assert";
import { resolveModel } from "../../weights/hub.ts";
import { storageError } from "../../weights/hub_errors.ts";
import { assertHubError, type HubSetting, withHub } from "../helpers/hub.ts";
import { COMMIT, refuse, TINY, WEIGHTS } from "../helpers/hub_server.ts";

Deno.test("every refusal has its own error, which says what to do", async (t) => {
  const gated = { ...TINY, gatedFor: "hf_right" };
  const { "config.json": _, ...other } = TINY.files;
  const { [WEIGHTS]: __, ...pickled } = TINY.files;
  const { "pytorch_model.bin": ___, ...bare } = pickled;
  const repositories = {
    "tiny/gpt2": TINY,
    gated,
    old: { ...TINY, movedTo: "tiny/gpt2" },
    unrelated: { ...TINY, files: other },
    pickled: { ...TINY, files: pickled },
    bare: { ...TINY, files: bare },
  };
  const step = (name: string, test: (setting: HubSetting) => Promise<void>) =>
    t.step(name, () => withHub(test, repositories));

  await step("missing", async ({ options }) => {
    const both = "there is no such folder here, and 127.0.0.1:";
    await assertHubError(
      resolveModel("runs/a", options),
      "missing",
      both,
      "set HF_TOKEN if it is private",
    );
    const token = "hf_x";
    await assertHubError(
      resolveModel("nothing", { ...options, token }),
      "missing",
      both,
      "the token may",
    );
  });
  await step("gated", async ({ options }) => {
    const says =
      `consent to their terms; accept them at ${options.endpoint}/gated and set HF_TOKEN`;
    await assertHubError(resolveModel("gated", options), "gated", says);
    const wrong = resolveModel("gated", { ...options, token: "hf_wrong" });
    await assertHubError(wrong, "gated", "with the account of the token");
    await resolveModel("gated", { ...options, token: "hf_right" });
  });
  await step("renamed", async ({ options }) => {
    const said: string[] = [];
    const { name } = await resolveModel("old", { ...options, say: (line) => said.push(line) });
    assertEquals([name, said], [`old@${COMMIT}`, ["old is now called tiny/gpt2"]]);
  });
  await step("a revision that is not there", async ({ options }) => {
    await assertHubError(
      resolveModel("tiny/gpt2@v9", options),
      "revision",
      "no revision v9",
      "/commits",
    );
  });
  await step("no model in it", async ({ options }) => {
    await assertHubError(resolveModel("unrelated", options), "content", "it has no config.json");
    await assertHubError(
      resolveModel("pickled", options),
      "content",
      "only pytorch_model.bin",
      "save",
    );
    await assertHubError(resolveModel("bare", options), "content", "and no other weights");
  });
  await step("a token that is not valid", async ({ server, options }) => {
    const message = "Invalid credentials in Authorization header";
    server.fault = () => refuse(401, "", { "x-error-message": message });
    const token = "hf_old";
    await assertHubError(
      resolveModel("gpt2", { ...options, token }),
      "refused",
      "token (Invalid",
      "HF_TOKEN",
    );
    const garbled = { ...options, token: "hf_ä" };
    await assertHubError(resolveModel("gpt2", garbled), "refused", "characters that no token has");
  });
  await step("forbidden", async ({ server, options }) => {
    server.fault = () => refuse(403, "", { "x-error-message": "Fine-grained token" });
    const token = "hf_narrow";
    await assertHubError(
      resolveModel("gpt2", { ...options, token }),
      "refused",
      "(Fine-grained token)",
    );
  });
  await step("something that is no Hub", async ({ server, options }) => {
    server.fault = () => new Response("<h1>Log in to the airport's network</h1>");
    await assertHubError(
      resolveModel("tiny/gpt2", options),
      "unreachable",
      "HF_ENDPOINT",
      "names no commit",
    );
    const endpoint = "huggingface.co";
    await assertHubError(
      resolveModel("gpt2", { ...options, endpoint }),
      "unreachable",
      "no address",
    );
  });
  await step("not in the cache, offline", async ({ options, cacheDir }) => {
    const offline = resolveModel("runs/a", { ...options, offline: true });
    await assertHubError(offline, "offline", "no such folder here", cacheDir, "HF_HUB_OFFLINE");
  });
});

Deno.test("storageError() knows a full disk and one that is mounted read-only", () => {
  // As Deno throws them; a disk that is full would have to be mounted first.
  const thrown = (message: string, code: string) => Object.assign(new Error(message), { code });
  const full = storageError(thrown("No space left on device (os error 28)", "ENOSPC"), "/cache");
  assertStringIncludes(
    full!.message,
    "Cannot use the cache /cache: the disk is full; make room, or",
  );
  const readOnly = storageError(thrown("Read-only file system (os error 30)", "EROFS"), "/cache");
  assertStringIncludes(
    readOnly!.message,
    "read-only file system; mount it for writing, or set HF_",
  );
  assertEquals(storageError(thrown("Too many open files", "EMFILE"), "/cache"), undefined);
});

Deno.test("a cache that cannot be written is named", () =>
  withHub(async ({ options, cacheDir }) => {
    await Deno.writeTextFile(`${cacheDir}/file`, "");
    const blocked = { ...options, cacheDir: `${cacheDir}/file/hub` };
    await assertHubError(
      resolveModel("tiny/gpt2", blocked),
      "storage",
      "/file/hub",
      "HF_HUB_CACHE",
    );
  }));
