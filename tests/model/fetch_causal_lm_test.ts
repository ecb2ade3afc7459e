import { assert, assertEquals, assertRejects } from "@std/assert";
import { fetchCausalLM } from "../../model/fetch_causal_lm.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { ModelFolderError, SafetensorsError } from "../../weights/errors.ts";
import { withGpu } from "../helpers/gpu.ts";

const FOLDER = "weights/review-gpt2";
const ADDRESS = "https://models.example/review-gpt2/";

/** A server of the embedded model's files; what `changed` has in their place, undefined for a file that is missing. */
function serve(changed: Record<string, Uint8Array<ArrayBuffer> | undefined> = {}) {
  return async (url: string): Promise<Response> => {
    const name = url.slice(ADDRESS.length);
    const bytes = name in changed ? changed[name] : await Deno.readFile(`${FOLDER}/${name}`);
    return bytes ? new Response(bytes) : new Response("no such file", { status: 404 });
  };
}

Deno.test("fetchCausalLM() loads what loadCausalLM() loads, and says how far it is", () =>
  withGpu(async (gpu) => {
    const progress: number[] = [];
    using fetched = await fetchCausalLM(gpu, ADDRESS, {
      fetch: serve(),
      onProgress: (done) => progress.push(done),
    });
    using loaded = await loadCausalLM(gpu, FOLDER);
    const { size } = await Deno.stat(`${FOLDER}/model.safetensors`);
    assertEquals(progress.at(-1), size);
    const rows = { inputIds: [loaded.tokenizer.encode("The movie was not what I expected.")] };
    assertEquals(await fetched.logprobs(rows), await loaded.logprobs(rows));
  }));

Deno.test("fetchCausalLM() goes without tokenizer_config.json, and without no other file", () =>
  withGpu(async (gpu) => {
    using model = await fetchCausalLM(gpu, ADDRESS, {
      fetch: serve({ "tokenizer_config.json": undefined }),
    });
    assertEquals(model.tokenizer.eosId, 0);
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"]) {
      await assertRejects(
        () => fetchCausalLM(gpu, ADDRESS, { fetch: serve({ [name]: undefined }) }),
        ModelFolderError,
        `Cannot fetch ${ADDRESS}${name}: the server answers 404`,
      );
    }
  }));

Deno.test("fetchCausalLM() refuses broken files, and a server that is not there", () =>
  withGpu(async (gpu) => {
    const half = (await Deno.readFile(`${FOLDER}/model.safetensors`)).slice(0, 2 ** 20);
    await assertRejects(
      () => fetchCausalLM(gpu, ADDRESS, { fetch: serve({ "model.safetensors": half }) }),
      SafetensorsError,
    );
    const config = new TextEncoder().encode("{");
    await assertRejects(
      () => fetchCausalLM(gpu, ADDRESS, { fetch: serve({ "config.json": config }) }),
      ModelFolderError,
      `Cannot read ${ADDRESS}config.json: line 1`,
    );
    await assertRejects(
      () => fetchCausalLM(gpu, ADDRESS, { fetch: () => Promise.reject(new TypeError("refused")) }),
      ModelFolderError,
      "the server cannot be reached",
    );
  }));

const FILE = `${ADDRESS}model.safetensors`;
const BROKEN_BODIES: [string, () => Response, string][] = [
  [
    "that breaks off",
    () => new Response(new ReadableStream({ pull: (c) => c.error(new TypeError("reset")) })),
    `Cannot fetch ${FILE}: the connection broke off; try again`,
  ],
  [
    "that is larger than memory, as its server says",
    () => new Response("x", { headers: { "content-length": "1000000000000000" } }),
    `Cannot fetch ${FILE}: there is not enough memory for it; use a smaller model`,
  ],
  ["that is empty", () => new Response(null), `Cannot read ${FILE}`],
];
for (const [what, answer, says] of BROKEN_BODIES) {
  Deno.test(`fetchCausalLM() refuses a file ${what}`, () =>
    withGpu(async (gpu) => {
      const usual = serve();
      const fetch = async (url: string) => url === FILE ? answer() : await usual(url);
      const error = await assertRejects(() => fetchCausalLM(gpu, ADDRESS, { fetch }), Error, says);
      assert(error instanceof ModelFolderError || error instanceof SafetensorsError, error.name);
    }));
}
