import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { resolveConfigFolder, resolveModel, resolveModelFolder } from "../../weights/hub.ts";
import type { DownloadProgress } from "../../weights/hub_options.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertHubError, withHub } from "../helpers/hub.ts";
import {
  COMMIT,
  gitSha1,
  HubServer,
  type Repository,
  sha256,
  TINY,
  TINY_FILES,
  WEIGHTS,
} from "../helpers/hub_server.ts";

Deno.test("resolveModel() fetches the files of a model, which then loads", () =>
  withHub(async ({ server, cacheDir, options }) => {
    const { folder, name } = await resolveModel("tiny/gpt2", options);
    assertEquals(name, `tiny/gpt2@${COMMIT}`);
    assertEquals(folder, join(cacheDir, "models--tiny--gpt2", "snapshots", COMMIT));
    assertEquals(await listTree(folder), [...TINY_FILES]);
    for (const file of TINY_FILES) {
      assertEquals(await Deno.readFile(join(folder, file)), TINY.files[file]);
      assertEquals(server.downloads(file).length, 1);
    }
    await withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, folder);
      assertEquals(model.layout.count, 112560);
    });
  }));

Deno.test("the cache has Python's layout", () =>
  withHub(async ({ cacheDir, options }) => {
    await resolveModelFolder("tiny/gpt2", options);
    const blobs = TINY_FILES.map((name) => {
      const content = TINY.files[name]!;
      return name === WEIGHTS ? sha256(content) : gitSha1(content);
    });
    const folder = "models--tiny--gpt2";
    assertEquals(
      await listTree(cacheDir),
      [
        ...blobs.map((blob) => `.locks/${folder}/${blob}.lock`),
        ...blobs.map((blob) => `${folder}/blobs/${blob}`),
        `${folder}/refs/main`,
        ...TINY_FILES.map((name) => `${folder}/snapshots/${COMMIT}/${name}`),
      ].sort(),
    );
    assertEquals(await Deno.readTextFile(`${cacheDir}/${folder}/refs/main`), COMMIT);
    const link = `${cacheDir}/${folder}/snapshots/${COMMIT}/${WEIGHTS}`;
    assertEquals(await Deno.readLink(link), `../../blobs/${sha256(TINY.files[WEIGHTS]!)}`);
  }));

Deno.test("a model in the cache costs one question, and none by its commit or offline", () =>
  withHub(async ({ server, options }) => {
    const folder = await resolveModelFolder("tiny/gpt2", options);
    server.seen.length = 0;
    assertEquals(await resolveModelFolder("tiny/gpt2", options), folder);
    assertEquals(server.seen.map(({ method }) => method), ["HEAD", "HEAD"]); // one is redirected
    server.seen.length = 0;
    assertEquals(await resolveModelFolder(`tiny/gpt2@${COMMIT}`, options), folder);
    assertEquals(await resolveModelFolder("tiny/gpt2", { ...options, offline: true }), folder);
    assertEquals(server.seen, []);
  }));

Deno.test("resolveConfigFolder() fetches config.json and nothing else, and spoils nothing", () =>
  withHub(async ({ server, options }) => {
    const folder = await resolveConfigFolder("tiny/gpt2", options);
    assertEquals(await listTree(folder), ["config.json"]);
    assertEquals(await Deno.readFile(join(folder, "config.json")), TINY.files["config.json"]);
    assertEquals(server.downloads(WEIGHTS).length, 0);
    await assertHubError(
      resolveModel("tiny/gpt2", { ...options, offline: true }),
      "offline",
      "does not hold it",
    );

    await resolveModel("tiny/gpt2", options);
    assertEquals(await listTree(folder), [...TINY_FILES]);
    assertEquals(server.downloads("config.json").length, 1);
    assertEquals(await resolveConfigFolder("tiny/gpt2", { ...options, offline: true }), folder);
  }));

Deno.test("a branch is fetched anew where it has moved, and a tag is a revision too", () => {
  const v2 = "ab".repeat(20);
  const repository = { ...TINY, refs: { main: COMMIT, "release/v2": v2 } };
  return withHub(async ({ server, options }) => {
    const { name } = await resolveModel("tiny/gpt2@release/v2", options);
    assertEquals(name, `tiny/gpt2@${v2}`);
    assertEquals((await resolveModel("tiny/gpt2", options)).name, `tiny/gpt2@${COMMIT}`);
    repository.refs.main = v2;
    assertEquals((await resolveModel("tiny/gpt2", options)).name, name);
    assertEquals(server.downloads(WEIGHTS).length, 1); // the same content, the same blob
  }, { "tiny/gpt2": repository });
});

Deno.test("a folder is meant by its path before anything else; other paths never ask the Hub", () =>
  withHub(async ({ server, options, cacheDir }) => {
    assertEquals(await resolveModel(GPT2, options), { folder: GPT2, name: GPT2 });
    assertEquals(await resolveModelFolder("weights/review-gpt2", options), "weights/review-gpt2");
    for (
      const path of [`${cacheDir}/nowhere`, "./tiny/gpt2", "../gpt2", "a/b/c", "a\\b", "gpt2/"]
    ) {
      const error = await assertRejects(() => resolveModelFolder(path, options), ModelFolderError);
      assertStringIncludes(error.message, "there is no such folder; check the path, or name a");
    }
    await assertRejects(() => resolveModelFolder("deno.json", options), ModelFolderError, "a file");
    assertEquals(server.seen, []);
  }));

Deno.test("a model without one file of weights has the shards that its index lists", () => {
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const index = (names: unknown) =>
    new TextEncoder().encode(JSON.stringify({ weight_map: { a: names, b: shards[1] } }));
  const { [WEIGHTS]: _, ...rest } = TINY.files;
  const files: Repository["files"] = {
    ...rest,
    "model.safetensors.index.json": index(shards[0]),
    [shards[0]!]: new Uint8Array(5000).fill(1),
    [shards[1]!]: new Uint8Array(3000).fill(2),
    "model-00003-of-00002.safetensors": new Uint8Array(10),
  };
  return withHub(async ({ options }) => {
    const progress: DownloadProgress[] = [];
    const folder = await resolveModelFolder("tiny/gpt2", {
      ...options,
      onProgress: (step) => progress.push(step),
    });
    const expected = ["config.json", ...shards, "model.safetensors.index.json"];
    for (const name of expected) {
      assertEquals(await Deno.readFile(join(folder, name)), files[name]);
    }
    assertEquals((await listTree(folder)).length, 4 + expected.length - 1);
    const { doneBytes, totalBytes } = progress.at(-1)!;
    assertEquals(doneBytes, totalBytes);
    assertEquals(await resolveModelFolder("tiny/gpt2", { ...options, offline: true }), folder);

    files["model.safetensors.index.json"] = index("../../../etc/passwd.safetensors");
    await Deno.remove(options.cacheDir!, { recursive: true });
    await assertRejects(
      () => resolveModel("tiny/gpt2", options),
      ModelFolderError,
      'model.safetensors.index.json of tiny/gpt2: tensor "a" is in "../../../etc/passwd',
    );
    files["model.safetensors.index.json"] = index("model-7.safetensors");
    await assertHubError(
      resolveModel("tiny/gpt2", options),
      "content",
      "it has no model-7.safetensors",
    );
  }, { "tiny/gpt2": { ...TINY, files } });
});

Deno.test("without tokenizer.json its parts are fetched, and what a snapshot lacks is filled in", () => {
  const { "tokenizer.json": _, ...rest } = TINY.files;
  const part = new TextEncoder().encode("{}");
  const files = { ...rest, "vocab.json": part, "merges.txt": part, "vocab.txt": part };
  return withHub(async ({ server, options }) => {
    const folder = await resolveModelFolder("tiny/gpt2", options);
    for (const name of ["vocab.json", "merges.txt", "vocab.txt"]) {
      assertEquals(await Deno.readFile(join(folder, name)), part);
    }
    await Deno.remove(join(folder, "vocab.txt"));
    await Deno.remove(join(folder, "merges.txt"));
    const pinned = `tiny/gpt2@${COMMIT}`;
    await assertHubError(resolveModel(pinned, { ...options, offline: true }), "offline");
    await resolveModelFolder(pinned, options);
    assertEquals(await Deno.readFile(join(folder, "merges.txt")), part);
    assertEquals(server.downloads(WEIGHTS).length, 1);
  }, { "tiny/gpt2": { ...TINY, files } });
});

Deno.test("progress counts the bytes of all files, and never goes back", () =>
  withHub(async ({ options }) => {
    const progress: DownloadProgress[] = [];
    await resolveModel("tiny/gpt2", { ...options, onProgress: (step) => progress.push(step) });
    const total = TINY_FILES.reduce((sum, name) => sum + TINY.files[name]!.length, 0);
    assertEquals([...new Set(progress.map(({ totalBytes }) => totalBytes))], [total]);
    const done = progress.map(({ doneBytes }) => doneBytes);
    assertEquals(done, [...new Set(done)].sort((a, b) => a - b)); // each step once, the end too
    assertEquals(done.at(-1), total);
  }));

Deno.test("the token goes to the Hub and to no other host", () =>
  withFolder(async (folder) => {
    await using elsewhere = new HubServer({ "tiny/gpt2": TINY });
    await withHub(async ({ server, options }) => {
      await Deno.writeTextFile(`${folder}/token`, "hf_from_a_file\n");
      await resolveModel("tiny/gpt2", { ...options, tokenFile: `${folder}/token` });
      const tokens = (host: string) =>
        new Set(server.seen.filter((seen) => seen.host === host).map(({ token }) => token));
      assertEquals([...tokens("hub")], ["Bearer hf_from_a_file"]);
      assertEquals([...tokens("cdn")], [null]);

      // Nor along with a redirect of everything, as a mirror may do.
      await Deno.remove(options.cacheDir!, { recursive: true });
      server.fault = ({ path }) => Response.redirect(elsewhere.endpoint + path, 302);
      await resolveModel("tiny/gpt2", { ...options, token: "hf_secret" });
      assertEquals(elsewhere.downloads("config.json").length, 1);
      assertEquals(elsewhere.seen.filter(({ token }) => token !== null), []);
    });
  }));
