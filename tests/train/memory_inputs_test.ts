import { assertEquals, assertRejects } from "@std/assert";
import { basename } from "node:path";
import { toPeftConfig } from "../../model/adapter_config.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { planInputs } from "../../train/memory_inputs.ts";
import { EMBEDDED_POLICY } from "../../train/open_run.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { readModelConfig } from "../../weights/folder.ts";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withHub } from "../helpers/hub.ts";
import { COMMIT, TINY, WEIGHTS } from "../helpers/hub_server.ts";

const DISTILBERT = new URL("../fixtures/distilbert", import.meta.url).pathname;
const limits = { bindingBytes: 2 ** 27, bufferBytes: 2 ** 28 };
const PROMPTS = { training: ["the film", "the"], evaluation: ["a film that is long"] };

Deno.test("planInputs() counts the prompts' tokens by the model's tokenizer", async () => {
  const settings = resolveConfig({});
  const inputs = await planInputs(settings, PROMPTS, { limits, hub: {} });
  const { n_layer } = await readModelConfig(EMBEDDED_POLICY) as { n_layer: number };
  assertEquals(inputs.model.nLayer, n_layer);
  assertEquals([inputs.settings, inputs.limits], [settings, limits]);
  assertEquals(inputs.rewards.length, 2); // the embedded classifier, and the judge
  assertEquals(inputs.promptTokens, {
    training: { shortest: 1, longest: 2 },
    evaluation: { shortest: 5, longest: 5 },
  });
});

Deno.test("planInputs() takes no more of a model on the Hub than config.json", () =>
  withHub(async ({ server, options: hub }) => {
    const settings = resolveConfig({ flags: { model: "tiny/gpt2" } });
    const inputs = await planInputs(settings, PROMPTS, { limits, hub });
    assertEquals([inputs.model.nLayer, inputs.model.nEmbd], [3, 48]);
    assertEquals(inputs.promptTokens, {
      training: { shortest: 1, longest: "the film".length },
      evaluation: { shortest: 1, longest: "a film that is long".length },
    });
    assertEquals(server.downloads(WEIGHTS).length, 0);
    assertEquals(server.downloads("tokenizer.json").length, 0);
  }));

Deno.test("planInputs() takes no more of adapters on the Hub than their configuration and their model's", () => {
  const lora = { rank: 2, alpha: 4, targets: ["c_attn"], baseModel: "tiny/gpt2" };
  const config = JSON.stringify(toPeftConfig(lora, { fanInFanOut: true }));
  const files = { "adapter_config.json": new TextEncoder().encode(config) };
  const adapters = { refs: { main: COMMIT }, files };
  return withHub(async ({ server, options: hub }) => {
    const settings = resolveConfig({ flags: { model: "tiny/adapters" } });
    const { model } = await planInputs(settings, PROMPTS, { limits, hub });
    assertEquals([model.nLayer, model.nEmbd], [3, 48]);
    const sent = server.seen.filter(({ method }) => method === "GET").map(({ path }) => path);
    assertEquals(
      new Set(sent.map((path) => basename(path))),
      new Set(["adapter_config.json", "config.json"]),
    );
  }, { "tiny/gpt2": TINY, "tiny/adapters": adapters });
});

Deno.test("planInputs() finds the classifiers that a reward asks", () =>
  withFolder(async (folder) => {
    const rewardsOf = async (reward: string) => {
      const settings = resolveConfig({ flags: { model: GPT2, reward, judge: "" } });
      const { rewards } = await planInputs(settings, PROMPTS, { limits, hub: {} });
      return rewards.map(({ labels }) => labels);
    };
    const one = [["NEGATIVE", "POSITIVE"]];
    assertEquals(await rewardsOf(DISTILBERT), one);
    await Deno.writeTextFile(
      `${folder}/both.toml`,
      `[[parts]]\nreward = "${DISTILBERT}"\n[[parts]]\nreward = "heuristic"\n` +
        `[[parts]]\nreward = "missing-end"\n`,
    );
    assertEquals(await rewardsOf(`${folder}/both.toml`), one);
    for (const reward of ["heuristic", "http://127.0.0.1:1/score", "./mine.ts", GPT2]) {
      assertEquals(await rewardsOf(reward), [], reward); // GPT2 is no classifier
    }
    await assertRejects(() => rewardsOf(`${folder}/nothing`), ModelFolderError);
  }));
