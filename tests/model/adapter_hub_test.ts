/** Adapters on the Hub: two files of them, and the model that they belong to by its name there. */

import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../../kernels/runtime/mod.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { resolveConfigFolder, resolveModel } from "../../weights/hub.ts";
import { randn } from "../helpers/close.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertHubError, type HubSetting, withHub } from "../helpers/hub.ts";
import { COMMIT, type Repository, TINY } from "../helpers/hub_server.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** Adapters of `tiny/gpt2` that are not zero, in `folder`, and as a repository. */
async function writeAdapters(gpu: Gpu, folder: string): Promise<Repository> {
  const rng = new Rng(1);
  const lora = { rank: 2, alpha: 4, targets: ["c_attn"], uniform: () => rng.next() };
  using model = await loadCausalLM(gpu, GPT2, { train: true, lora, name: "tiny/gpt2" });
  for (const chunk of model.trained.chunks) {
    gpu.write(chunk, randn(chunk.size, 1).map((x) => 0.1 * x));
  }
  await model.savePretrained(folder, { card: "# Adapters\n" });
  const names = await listTree(folder);
  const files = names.map(async (name) => [name, await Deno.readFile(`${folder}/${name}`)]);
  return { refs: { main: COMMIT }, files: Object.fromEntries(await Promise.all(files)) };
}

/** Runs a test with a Hub that has a model, and adapters of it whose configuration is changed. */
function withAdapters(
  test: (setting: HubSetting & { gpu: Gpu; adapters: Repository; folder: string }) => Promise<void>,
  change: Record<string, unknown> = {},
): Promise<void> {
  return withGpu((gpu) =>
    withFolder(async (folder) => {
      const adapters = await writeAdapters(gpu, folder);
      const config = JSON.parse(new TextDecoder().decode(adapters.files[CONFIG]));
      const changed = JSON.stringify({ ...config, ...change });
      adapters.files[CONFIG] = new TextEncoder().encode(changed);
      const repositories = { "tiny/gpt2": TINY, "tiny/adapters": adapters };
      await withHub((setting) => test({ ...setting, gpu, adapters, folder }), repositories);
    })
  );
}

async function logprobs(gpu: Gpu, folder: string, hub: HubSetting["options"]): Promise<number[]> {
  using model = await loadCausalLM(gpu, folder, { hub });
  const inputIds = [model.tokenizer.encode("The movie was good")];
  return (await model.logprobs({ inputIds })).logprobs[0];
}

Deno.test("adapters on the Hub are put on their base model, which is fetched too", () =>
  withAdapters(async ({ gpu, server, options, folder: local }) => {
    const said: string[] = [];
    const hub = { ...options, say: (line: string) => said.push(line) };
    const { folder, name } = await resolveModel("tiny/adapters", hub);
    assertEquals(name, `tiny/adapters@${COMMIT}`);
    assertEquals(await listTree(folder), [CONFIG, WEIGHTS]);
    const adapted = await logprobs(gpu, folder, hub);
    assertEquals(server.downloads("model.safetensors").length, 1);
    assertEquals(server.downloads("tokenizer.json").length, 1); // the base model's
    assert(said.some((line) => line.includes("holds adapters") && line.includes("models--tiny")));

    assertEquals(adapted, await logprobs(gpu, local, hub)); // as a folder of adapters
    assertNotEquals(adapted, await logprobs(gpu, GPT2, hub));
    server.seen.length = 0;
    const offline = { ...hub, offline: true };
    const again = await resolveModel("tiny/adapters", offline);
    assertEquals(await logprobs(gpu, again.folder, offline), adapted);
    assertEquals(server.seen, []);
  }));

Deno.test("a config.json beside adapters without weights does not make them a model", () =>
  withAdapters(async ({ gpu, options, adapters, folder: local }) => {
    const config = await Deno.readFile(`${GPT2}/config.json`);
    adapters.files["config.json"] = config;
    await resolveConfigFolder("tiny/adapters", options); // a plan leaves config.json in the cache
    const { folder } = await resolveModel("tiny/adapters", options);
    assert((await listTree(folder)).includes(WEIGHTS));
    await Deno.writeFile(`${local}/config.json`, config);
    const adapted = await logprobs(gpu, folder, options);
    assertEquals(adapted, await logprobs(gpu, local, options));
    assertNotEquals(adapted, await logprobs(gpu, GPT2, options));
    const { name } = await resolveModel("tiny/adapters", { ...options, offline: true });
    assertEquals(name, `tiny/adapters@${COMMIT}`); // it is whole
  }));

Deno.test("of adapters on the Hub a plan takes adapter_config.json alone", () =>
  withAdapters(async ({ server, options }) => {
    const folder = await resolveConfigFolder("tiny/adapters", options);
    assertEquals(await listTree(folder), [CONFIG]);
    assertEquals(server.downloads(WEIGHTS).length, 0);
    assertEquals(await listTree((await resolveModel("tiny/adapters", options)).folder), [
      CONFIG,
      WEIGHTS,
    ]);
  }));

for (const path of ["/etc", "../gpt2", "./weights/review-gpt2", GPT2, "gpt2@../../x"]) {
  Deno.test(`adapters from the Hub may not name ${path.replace(/.*(?=\/fix)/, "…")}`, () =>
    withAdapters(async ({ gpu, options }) => {
      const { folder } = await resolveModel("tiny/adapters", options);
      await assertRejects(
        () => loadCausalLM(gpu, folder, { hub: options }),
        ModelFolderError,
        `base_model_name_or_path is ${JSON.stringify(path)}, which is no model on the Hub; copy`,
      );
    }, { base_model_name_or_path: path }));
}

Deno.test("what adapters from the Hub name is looked for there, not in a folder of that name", () =>
  withAdapters(async ({ gpu, options }) => {
    const { folder } = await resolveModel("tiny/adapters", options);
    const loads = loadCausalLM(gpu, folder, { hub: options }); // the working directory has such a folder
    await assertHubError(loads, "missing", "has no model of this name");
  }, { base_model_name_or_path: "weights/review-gpt2" }));

Deno.test("adapters on the Hub that are not in safetensors are refused", () =>
  withAdapters(async ({ options, adapters }) => {
    delete adapters.files[WEIGHTS];
    const resolved = resolveModel("tiny/adapters", options);
    await assertHubError(resolved, "content", `no ${WEIGHTS}`, "save_pretrained");
  }));

Deno.test("adapters on the Hub that nothing describes are refused", () =>
  withAdapters(async ({ options, adapters }) => {
    delete adapters.files[CONFIG];
    adapters.files["config.json"] = await Deno.readFile(`${GPT2}/config.json`);
    const resolved = resolveModel("tiny/adapters", options);
    await assertHubError(resolved, "content", `only adapters without an ${CONFIG}; save them`);
  }));
