/**
 * What a KL to the reference of some size does to a policy: the default run, shortened, with the weight of the KL held at
 * each of several values.
 *
 *     deno run --allow-read --allow-write --allow-env tests/bench/kl_sweep.ts runs/sweep [0,0.05,0.25,1,4] [setting=value ...]
 *
 * A setting is one of `deno task train --help` in camelCase, such as `steps=20`. Writes a run folder for each weight, with
 * `probes.jsonl` beside its metrics, and prints a row of a table. About four minutes a weight on two idle CPU cores.
 */
import { join } from "node:path";
import { scoreSamples } from "../../reward/reward.ts";
import { scoreRollout } from "../../train/experience.ts";
import { RULES } from "../../train/guard_rules.ts";
import type { PpoRun } from "../../train/ppo.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { HELD_OUT_PROMPTS } from "../../train/prompts.ts";
import { type Rollout, sampleRollout } from "../../train/rollout.ts";
import { maskedValues } from "../../train/rows.ts";
import { RunFolder } from "../../train/run_folder.ts";
import { mean, standardDeviation } from "../../train/stats.ts";
import { distinctN } from "../../train/text_stats.ts";

/** Responses that are sampled or scored at a time. */
const BATCH = 48;

/** What a policy is like at one moment of its training. */
interface Probe {
  step: number;
  responses: number;
  /** Mean score, and its standard error. */
  reward: number;
  standardError: number;
  /** Mean score of the judge, which was not trained on. */
  judge: number;
  /** Exact KL to the reference, nats per token. */
  kl: number;
  /** Entropy, nats per token. */
  entropy: number;
  distinct2: number;
  /** Perplexity of the policy's texts for the reference: how strange it finds them. */
  perplexity: number;
  /** Perplexity of the reference's texts for the policy: how much of them it has forgotten. */
  forgotten: number;
  tokens: number;
  /** The first responses, one a prompt. */
  texts: { prompt: string; response: string; score: number }[];
}

const [path = "runs/sweep", weights = "0,0.05,0.25,1,4", ...given] = Deno.args;
const settings = Object.fromEntries(given.map((pair) => {
  const [name, text] = pair.split("=");
  return [name, Number.isNaN(Number(text)) ? text : Number(text)];
}));

/** All rules watch, and none acts. */
const WARN_ONLY = Object.entries(RULES)
  .filter(([, { actions }]) => (actions as readonly string[]).includes("warn"))
  .map(([name]) => `${name}=warn`).join();

console.log(
  "| beta | reward | SE | judge | KL | entropy | distinct-2 | its texts' perplexity for the reference | " +
    "the reference's texts' perplexity for it | tokens | minutes |",
);
console.log("|" + " --- |".repeat(11));
for (const klCoef of weights.split(",").map(Number)) {
  const started = performance.now();
  const end = await train(join(path, `beta-${klCoef}`), klCoef);
  const cells = [
    end.reward,
    end.standardError,
    end.judge,
    end.kl,
    end.entropy,
    end.distinct2,
    end.perplexity,
    end.forgotten,
    end.tokens,
    (performance.now() - started) / 60_000,
  ].map((cell) => String(Number(cell.toPrecision(3))));
  console.log(`| ${[klCoef, ...cells].join(" | ")} |`);
}

/** Trains into a folder, with a probe every ten steps, the first and the last a larger one; returns the last. */
async function train(folderPath: string, klCoef: number): Promise<Probe> {
  using trainer = await PpoTrainer.create({
    seed: 1,
    steps: 60,
    batchSize: 32,
    miniBatchSize: 32,
    klController: "fixed",
    guardActions: WARN_ONLY,
    ...settings,
    klCoef,
  });
  using folder = await RunFolder.create(folderPath, trainer.config);
  const theirs = await referenceTexts(trainer.run);
  const probeAt = async (step: number, responses: number) => {
    const probe = { step, ...await measure(trainer.run, responses, theirs) };
    const file = join(folderPath, "probes.jsonl");
    await Deno.writeTextFile(file, JSON.stringify(probe) + "\n", { append: true });
    return probe;
  };
  await probeAt(0, 5 * BATCH);
  const { steps } = trainer.config;
  await trainer.train({
    callbacks: [folder.recorder(), {
      async onStepEnd({ steps: step }) {
        if (step % 10 === 0 && step < steps) await probeAt(step, BATCH);
      },
    }],
  });
  return await probeAt(steps, 5 * BATCH);
}

/** The same texts for every policy to be tested on: what the reference writes. */
async function referenceTexts({ reference, config }: PpoRun): Promise<Rollout[]> {
  return [
    await sampleRollout(reference, promptsFrom(0), { ...config, step: 0 }),
    await sampleRollout(reference, promptsFrom(BATCH), { ...config, step: BATCH }),
  ];
}

/** The held-out prompts in turn. */
function promptsFrom(at: number): string[] {
  return Array.from(
    { length: BATCH },
    (_, i) => HELD_OUT_PROMPTS[(at + i) % HELD_OUT_PROMPTS.length],
  );
}

async function measure(
  run: PpoRun,
  responses: number,
  theirs: readonly Rollout[],
): Promise<Omit<Probe, "step">> {
  const { policy, reward, judge, config } = run;
  const texts: Probe["texts"] = [];
  const judged: number[] = [];
  const kl: number[] = [];
  const entropy: number[] = [];
  const refLogprobs: number[] = [];
  for (let at = 0; at < responses; at += BATCH) {
    const rollout = await sampleRollout(policy, promptsFrom(at), { ...config, step: at });
    const { samples, mask } = rollout;
    const { scores } = await scoreSamples(reward, samples, { timeoutMs: 0 });
    texts.push(
      ...samples.map(({ prompt, response }, b) => ({ prompt, response, score: scores[b] })),
    );
    if (judge) judged.push(...(await scoreSamples(judge, samples, { timeoutMs: 0 })).scores);
    const experience = await scoreRollout(run, rollout, config);
    kl.push(...maskedValues(experience.klFull, mask));
    entropy.push(...maskedValues(experience.entropy, mask));
    refLogprobs.push(...maskedValues(experience.refLogprobs, mask));
  }
  const logprobs: number[] = [];
  for (const rollout of theirs) {
    const experience = await scoreRollout(run, rollout, config);
    logprobs.push(...maskedValues(experience.logprobs, rollout.mask));
  }
  const scores = texts.map(({ score }) => score);
  return {
    responses,
    reward: mean(scores),
    standardError: standardDeviation(scores) / Math.sqrt(responses),
    judge: mean(judged),
    kl: mean(kl),
    entropy: mean(entropy),
    distinct2: distinctN(texts.map(({ response }) => response), 2),
    perplexity: Math.exp(-mean(refLogprobs)),
    forgotten: Math.exp(-mean(logprobs)),
    tokens: kl.length / responses,
    texts: texts.slice(0, HELD_OUT_PROMPTS.length),
  };
}
