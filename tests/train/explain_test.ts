import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { HeuristicReward } from "../../reward/heuristic.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import type { ExplainedSection } from "../../train/explain_tensors.ts";
import { explainStep } from "../../train/explain_step.ts";
import { sectionLines } from "../../train/explain_text.ts";
import { openRun } from "../../train/open_run.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withFolder } from "../helpers/folder.ts";
import { withGpu } from "../helpers/gpu.ts";
import { assertRefused, runProgram } from "../helpers/program.ts";

const SETTINGS = {
  model: GPT2,
  batchSize: 2,
  miniBatchSize: 1,
  epochs: 2,
  maxNewTokens: 6,
  learningRate: 1e-2,
};

/** Explains a step, and gives its sections and the beta that came of it. */
function explain(
  flags: Record<string, unknown>,
  check: (sections: ExplainedSection[], beta: number) => void,
): Promise<void> {
  return withGpu(async (gpu) => {
    using resources = new DisposableStack();
    const config = resolveConfig({ flags: { ...SETTINGS, ...flags } });
    const run = await openRun(gpu, resources, config, { reward: new HeuristicReward() });
    const prompts = ["The movie was", "This is it"];
    const sections = await Array.fromAsync(explainStep(run, prompts, { step: 0 }));
    check(sections, run.controller.beta);
  });
}

/** A tensor's rows; of several with one name, the first. */
function rowsOf(sections: readonly ExplainedSection[], name: string): number[][] {
  return sections.flatMap(({ tensors }) => tensors).find((tensor) => tensor.name === name)!.rows;
}

Deno.test("explainStep() shows tensors that belong together", () =>
  explain({ klMode: "reward", klEstimator: "k1", klCoef: 0.5 }, (sections) => {
    assertEquals(sections.length, 11);
    const [logprobs, ref, values, rewards, advantages, returns, scores] = [
      "logprobs",
      "refLogprobs",
      "values",
      "rewards",
      "advantages",
      "returns",
      "scores",
    ].map((name) => rowsOf(sections, name));
    for (const [b, row] of rewards.entries()) {
      const last = row.length - 1;
      // A policy that is its reference: no KL, and the score alone at the last token.
      for (const [t, reward] of row.entries()) {
        assertAlmostEquals(logprobs[b][t], ref[b][t], 1e-5); // f32, both of the same weights
        assertAlmostEquals(reward, t === last ? scores[b][0] : 0, 1e-5);
        assertEquals(returns[b][t], advantages[b][t] + values[b][t]);
      }
      assertEquals(advantages[b][last], row[last] - values[b][last]);
    }
    // Four optimizer steps; the first sees the policy that sampled, the others one that has moved.
    const statistics = rowsOf(sections, "statistics");
    const ratios = statistics.map((row) => row[5]);
    assertEquals(statistics.length, 4);
    assertEquals(ratios[0], 1);
    assert(ratios.slice(1).every((ratio) => ratio !== 1));
    const after = rowsOf(sections.slice(8), "ratio").flat();
    assert(after.some((ratio) => Math.abs(ratio - 1) > 1e-3), `ratios ${after}`);
  }));

Deno.test("explainStep() adds the loss up, and moves beta", () =>
  explain({ klCoef: 0.4, entropyCoef: 0.01 }, (sections, beta) => {
    const [policy, value, entropy, kl, loss] = rowsOf(sections, "statistics")[1];
    assertAlmostEquals(policy + 0.1 * value - 0.01 * entropy + 0.4 * kl, loss, 1e-6);
    assertEquals(beta, 0.4 / 1.1); // no KL yet, below the band
    assertMatch(sections[10].notes[0], /^KL -?0\.0000, target 0\.01: beta 0\.4000 -> 0\.3636$/);
  }));

Deno.test("explainStep() measures how far each part of the model went", () =>
  explain({}, (sections) => {
    const { labels, columns, rows } = sections[9].tensors[0];
    assertEquals(columns[0], ["count", "norm", "change", "change %", "most / lr"]);
    assertEquals(labels, ["wte", "wpe", "h.0", "h.1", "h.2", "ln_f", "v_head.summary"]);
    const [count, norm, change, percent, most] = rows[2];
    assertEquals(count, 12 * 48 * 48 + 13 * 48); // a block of width 48
    assertAlmostEquals(percent, 100 * change / norm, 1e-9);
    // Adam divides a gradient by its usual size; two epochs of two minibatches are four steps.
    assert(most > 0.5 && most < 8, `a parameter moved by ${most} learning rates`);
  }));

Deno.test("explainStep() with a learning rate of 0 moves nothing", () =>
  explain({ learningRate: 0 }, (sections) => {
    for (const [, , change, percent, most] of sections[9].tensors[0].rows) {
      assertEquals([change, percent, most], [0, 0, 0]);
    }
    assertEquals(new Set(rowsOf(sections.slice(8), "ratio").flat()), new Set([1]));
  }));

Deno.test("sectionLines() breaks long rows, and marks spaces", () => {
  const lines = sectionLines({
    title: "A title",
    formulas: [{ formula: "a = b", source: "someone" }],
    code: "f()",
    tensors: [{
      name: "x",
      shape: "(B, R) = (1, 9) nats",
      doc: "numbers",
      across: "tokens",
      of: "response",
      rows: [[0.5, 1, 2, 3, 4, 5, 6, 7, 8]],
      columns: [[" a", "a long token", "\n", ..."cdefgh"]],
    }],
    notes: ["a note"],
  }, 3);
  const gap = " ".repeat(22);
  assertEquals(lines, [
    "",
    "3. A title",
    "   a = b",
    "       [someone]",
    "   code: f()",
    "",
    "   x (B, R) = (1, 9) nats: numbers",
    gap + "        ·a a long t…        \\n         c         d         e         f         g",
    "     response 0           0.5000         1         2         3         4         5         6         7",
    gap + "         h",
    gap + "         8",
    "",
    "   a note",
  ]);
});

Deno.test("deno task explain shows a step in the terminal, or as JSON lines", async () => {
  const flags = ["--model", GPT2, "--after", "1", "--prompt", "The movie was", "--prompt", "It is"];
  const text = await runProgram("explain", flags);
  assertEquals([text.code, text.stderr], [0, ""]);
  assertMatch(text.stdout, /^PPO step 2, after 1 that are not shown$/m);
  assertMatch(text.stdout, /^11\. The controller moves the weight of the KL$/m);
  assertMatch(text.stdout, /^ {3}logprobs \(B, R\) = \(2, \d\) nats: of the sampled tokens$/m);

  const json = await runProgram("explain", [...flags, "--json"]);
  const sections: ExplainedSection[] = json.stdout.trimEnd().split("\n").map((l) => JSON.parse(l));
  assertEquals(sections.length, 11);
  const nats = rowsOf(sections, "klFull").flat();
  assert(nats.some((kl) => kl > 0), "the step before has moved the policy from its reference");
});

Deno.test("deno task explain --html writes a page of the same parts", () =>
  withFolder(async (folder) => {
    const file = `${folder}/step.html`;
    const flags = ["--model", GPT2, "--after", "0", "--html", file];
    const { code, stdout, stderr } = await runProgram("explain", flags);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /\nwrote .*step\.html\n$/);
    const page = await Deno.readTextFile(file);
    assertEquals(page.match(/<section id="part-\d+"/g)?.length, 11);
    assertMatch(page, /<caption>response 1<\/caption>/);
  }));

Deno.test("deno task explain refuses more prompts than can be read", async () => {
  const prompts = Array(9).fill(["--prompt", "a"]).flat();
  assertRefused(await runProgram("explain", prompts), /Cannot explain 9 prompts at once/);
});
