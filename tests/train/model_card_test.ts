import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "yaml";
import { resolveConfig } from "../../train/config_resolve.ts";
import type { Evaluation } from "../../train/evaluate.ts";
import type { PpoMetrics } from "../../train/metrics.ts";
import { fenced, formatModelCard, type ModelCard, table } from "../../train/model_card.ts";
import { ppoCard, type PpoCardFacts } from "../../train/ppo_card.ts";
import { sftCard } from "../../train/sft_card.ts";

const CARD: ModelCard = {
  title: "A model",
  summary: "It is one.",
  baseModel: "openai-community/gpt2",
  tags: ["a: b"],
  isAdapter: false,
  hasValueHead: true,
  training: { data: "a|b\nc" },
  figures: ["None."],
  settings: { seed: 1 },
};

/** The front matter, parsed, and the Markdown after it. */
function split(card: string): { front: Record<string, unknown>; text: string } {
  const [, front, text] = card.match(/^---\n([\s\S]*?)\n---\n\n([\s\S]*)$/)!;
  return { front: parse(front), text };
}

Deno.test("formatModelCard() begins with front matter that the Hub reads", () => {
  assertEquals(split(formatModelCard(CARD)).front, {
    base_model: "openai-community/gpt2",
    library_name: "transformers",
    pipeline_tag: "text-generation",
    tags: ["kl-guard", "rlhf", "a: b"],
  });
  const { front } = split(formatModelCard({ ...CARD, baseModel: undefined, isAdapter: true }));
  assertEquals([front.base_model, front.library_name], [undefined, "peft"]);
});

Deno.test("formatModelCard() says how to load the model, its value head and its adapters", () => {
  const whole = formatModelCard(CARD);
  assertStringIncludes(whole, "AutoModelForCausalLM.from_pretrained(folder)");
  assertStringIncludes(whole, "AutoModelForCausalLMWithValueHead");
  const adapter = formatModelCard({ ...CARD, isAdapter: true, hasValueHead: false });
  assertStringIncludes(adapter, "from peft import AutoPeftModelForCausalLM\n");
  assert(!adapter.includes("v_head"));
});

Deno.test("table() and fenced() show whatever text there is", () => {
  assertEquals(table(["x"], [["a|b\\\n c"]]), "| x |\n| --- |\n| a\\|b\\\\ c |");
  assertEquals(fenced("", "a ```` b"), "`````\na ```` b\n`````");
  assertStringIncludes(formatModelCard(CARD), "| data | a\\|b c |");
});

const FACTS: PpoCardFacts = {
  config: resolveConfig({
    flags: {
      model: `openai-community/gpt2@${"0123456789".repeat(4)}`,
      prompts: "/home/me/films.jsonl",
      seed: 5,
    },
  }),
  steps: 3,
  episodes: 12,
  reward: "http",
  isAdapter: false,
};

Deno.test("ppoCard() names base model, data, reward, settings, and no path of its writer", () => {
  const card = ppoCard(FACTS);
  const { front, text } = split(card);
  assertEquals(front.base_model, "openai-community/gpt2");
  assertMatch(text, /^# gpt2, trained by PPO\n/);
  assertStringIncludes(text, "| prompts | films.jsonl |");
  assertStringIncludes(text, "after 3 steps of RLHF with PPO by KL Guard: 12 responses");
  assertStringIncludes(text, "No step was taken yet.");
  const settings = JSON.parse(text.match(/```json\n([\s\S]*?)\n```/)![1]);
  assertEquals(settings.seed, 5);
  assertEquals(settings.prompts, "films.jsonl");
  assertEquals(settings.reward, "sentiment");
  assertEquals(settings.out, undefined);
  assert(!card.includes("/home/me"));
});

Deno.test("ppoCard() keeps the path of a local model out of the front matter", () => {
  const config = { ...FACTS.config, model: "weights/gpt2" };
  const { front, text } = split(ppoCard({ ...FACTS, config }));
  assertEquals(front.base_model, undefined);
  assertStringIncludes(text, "| base model, and reference | weights/gpt2 |");
});

Deno.test("sftCard() names base model, data, settings and figures", () => {
  const options = { model: "gpt2", data: "/home/me/train.txt", out: "/home/me/out", seed: 4 };
  const figures = {
    steps: 12,
    tokens: 1536,
    loss: 2.34567,
    validation: "validation: 2.5000 nats/token",
  };
  const { front, text } = split(sftCard({ options, source: "/cache/gpt2", ...figures }));
  assertEquals(front.base_model, "gpt2");
  assertEquals(front.tags, ["kl-guard", "rlhf", "sft"]);
  assertMatch(text, /^# gpt2, fine-tuned on text\n/);
  assertStringIncludes(text, "| text | train.txt |");
  assertStringIncludes(text, "loss 2.346 nats per token in step 12");
  assertStringIncludes(text, "validation: 2.5000 nats/token");
  assert(!text.includes("/home/me"));
  const run = { ...options, model: "runs/a" };
  const onward = sftCard({ options: run, source: "runs/a/checkpoints/step-000002", ...figures });
  assertEquals(split(onward).front.base_model, undefined);
  const local = { ...options, model: "init:weights/small" };
  const fresh = split(sftCard({ options: local, source: "init:weights/small", ...figures }));
  assertEquals(fresh.front.base_model, undefined);
  assertStringIncludes(fresh.text, "random parameters, sizes and tokenizer of weights/small");
});

Deno.test("ppoCard() shows what came of it", () => {
  const metrics = {
    "objective/scores": 1.23456,
    "objective/kl_full": 0.0123,
    "objective/kl_coef": 0.2,
    "ppo/policy/entropy": NaN,
    "tokens/responses_len_mean": 20,
  } as PpoMetrics;
  const evaluation = (meanScore: number): Evaluation => ({
    samples: Array.from({ length: 4 }, () => ({
      prompt: "The film",
      response: " is `good`",
      text: "The film is `good`",
      ended: true,
      score: meanScore,
    })),
    meanScore,
    stdScore: 0.1,
    kl: 0.01,
    distinct2: 0.9,
    meanLength: 3,
  });
  const evaluations = { before: evaluation(0.5), after: evaluation(1.5) };
  const card = ppoCard({ ...FACTS, metrics, evaluations });
  assertStringIncludes(card, "| objective/scores | 1.235 | reward per response |");
  assertStringIncludes(card, "| ppo/policy/entropy | not finite |");
  assertMatch(card, /```\n +before +after\nmean reward +0\.500 +1\.500\n/);
});
