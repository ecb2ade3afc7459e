import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { initCausalLM, loadCausalLM } from "../../model/gpt2_weights.ts";
import { HeuristicReward } from "../../reward/heuristic.ts";
import { comparison } from "../../train/comparison.ts";
import {
  ComparisonError,
  evaluatePolicy,
  type Evaluation,
  riseInStandardErrors,
} from "../../train/evaluate.ts";
import { Rng } from "../../train/rng.ts";
import { assertClose } from "../helpers/close.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

/** An evaluation of `n` responses with these scores' mean and deviation. */
function evaluation(meanScore: number, stdScore: number, n: number): Evaluation {
  const samples = Array.from({ length: n }, (_, i) => ({
    prompt: `prompt ${i}`,
    ended: true,
    response: ` a\n response\t of ${meanScore}`,
    text: "",
    score: meanScore,
  }));
  return { samples, meanScore, stdScore, kl: 0.0123, distinct2: 0.5, meanLength: 7 };
}

Deno.test("riseInStandardErrors() divides the rise by the standard error of the difference", () => {
  // 3^2 / 9 + 8^2 / 16 = 1 + 4, and the rise is 10
  const rise = riseInStandardErrors(evaluation(-4, 3, 9), evaluation(6, 8, 16));
  assertClose([rise], [10 / Math.sqrt(5)], { atol: 1e-14 });
  assertEquals(riseInStandardErrors(evaluation(1, 0, 4), evaluation(1, 0, 4)), 0);
});

Deno.test("comparison() shows numbers and texts side by side, and says whether the reward rose", () => {
  const [low, high] = [evaluation(-4, 3, 9), evaluation(6, 8, 16)];
  const lines = comparison(low, high, { texts: 1 });
  assertMatch(lines[0], /^ +before +after$/);
  assertMatch(lines[1], /^mean reward +-4\.000 +6\.000$/);
  assertMatch(lines[2], /^standard error +1\.000 +2\.000$/);
  assert(lines.some((line) => /rose by 4\.5 standard errors .* over 16 responses/.test(line)));
  assertEquals(lines.slice(-3), [
    "prompt 0 ...",
    "  before  -4.00 a\\n response\\t of -4",
    "  after    6.00 a\\n response\\t of 6",
  ]);
  assertEquals(comparison(low, high, { texts: 1, columns: 32 }).slice(-4), [
    "  before  -4.00 a\\n response\\t",
    "                of -4",
    "  after    6.00 a\\n response\\t",
    "                of 6",
  ]);
  const falling = comparison(high, evaluation(-4, 3, 16), { names: ["reference", "policy"] });
  assertMatch(falling[0], /^ +reference +policy$/);
  assert(falling.some((line) => line.startsWith("The mean reward fell by ")));
  assertEquals(falling.filter((line) => line.endsWith("...")).length, 6);
});

Deno.test("evaluatePolicy() takes prompts in turn, more than fit one batch, and measures them", () =>
  withGpu(async (gpu) => {
    using policy = await loadCausalLM(gpu, GPT2); // no value head: none is needed
    const reward = { name: "length", score: (s: readonly unknown[]) => s.map((_, i) => i % 2) };
    const prompts = ["the film", "a", "it is not"];
    const options = { responses: 50, maxLength: 40, maxNewTokens: 4, minNewTokens: 4, seed: 3 };
    const models = { policy, reference: policy, reward };
    const { samples, ...numbers } = await evaluatePolicy(models, prompts, options);
    assertEquals(samples.map(({ prompt }) => prompt), samples.map((_, i) => prompts[i % 3]));
    assertEquals(samples.length, 50);
    assertEquals(new Set(samples.map(({ text }) => text)).size, 50); // batches differ in their seed
    assertEquals(numbers.meanScore, 0.5);
    assertClose([numbers.stdScore], [Math.sqrt(50 * 0.25 / 49)], { atol: 1e-14 });
    assertEquals([numbers.kl, numbers.meanLength], [0, 4]);
  }));

Deno.test("evaluatePolicy() refuses a reference with other tokens", () =>
  withGpu(async (gpu) => {
    using policy = await loadCausalLM(gpu, GPT2);
    const { tokenizer } = policy;
    const rng = new Rng(1);
    const normal = () => rng.normal();
    const config = { ...policy.config, vocabSize: policy.config.vocabSize + 8 };
    using larger = initCausalLM(gpu, { config, tokenizer, normal });
    const shifted = { ...tokenizer, encode: (text: string) => tokenizer.encode(`x${text}`) };
    using other = initCausalLM(gpu, { config: policy.config, tokenizer: shifted, normal });
    const reward = new HeuristicReward();
    for (const reference of [larger, other]) {
      await assertRejects(
        () => evaluatePolicy({ policy, reference, reward }, ["it"], { responses: 1, maxLength: 9 }),
        ComparisonError,
        "their tokens differ",
      );
    }
  }));
