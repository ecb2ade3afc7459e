/**
 * The default run over several seeds: does the reward rise, is the KL held, does the text stay varied?
 *
 *     deno run --allow-read --allow-env tests/bench/default_run.ts [seeds, such as 1,2,3,4,5] [setting=value ...]
 *
 * A setting is one of `deno task train --help` in camelCase, such as `klTarget=0.05`. Prints one row of a table for each
 * seed: 480 responses to held-out prompts before and after, and the exact KL over the last twenty steps.
 */
import { judgedRise, riseInStandardErrors } from "../../train/evaluate.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { HELD_OUT_PROMPTS } from "../../train/prompts.ts";
import { mean } from "../../train/stats.ts";

const [seeds = "1,2,3,4,5", ...given] = Deno.args;
const settings = Object.fromEntries(given.map((pair) => {
  const [name, text] = pair.split("=");
  return [name, Number.isNaN(Number(text)) ? text : Number(text)];
}));

console.log(
  "| seed | reward before | after | standard errors | judge before | after | standard errors | KL, last 20 steps | " +
    "distinct-2 before | after | minutes |",
);
console.log("|" + " --- |".repeat(11));
for (const seed of seeds.split(",").map(Number)) {
  const started = performance.now();
  using trainer = await PpoTrainer.create({ ...settings, seed });
  const responses = 480;
  const before = await trainer.evaluate(HELD_OUT_PROMPTS, { responses });
  const kl: number[] = [];
  await trainer.train({
    callbacks: [{ onStepEnd: (_, { metrics }) => void kl.push(metrics["objective/kl_full"]) }],
  });
  const after = await trainer.evaluate(HELD_OUT_PROMPTS, { responses });
  const cells = [
    seed,
    before.meanScore.toFixed(3),
    after.meanScore.toFixed(3),
    riseInStandardErrors(before, after).toFixed(1),
    before.judge?.meanScore.toFixed(3) ?? "",
    after.judge?.meanScore.toFixed(3) ?? "",
    judgedRise(before, after)?.toFixed(1) ?? "",
    mean(kl.slice(-20)).toFixed(4),
    before.distinct2.toFixed(3),
    after.distinct2.toFixed(3),
    ((performance.now() - started) / 60_000).toFixed(1),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
