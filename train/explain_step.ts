/** One PPO step on a few prompts, in sections for people: every tensor that it makes, by name, shape and numbers. */

import { scoreRollout } from "./experience.ts";
import { ParameterSnapshot } from "./explain_parameters.ts";
import {
  explainAdvantages,
  explainExperience,
  explainKl,
  explainPrompts,
  explainResponses,
  explainRewards,
  explainScores,
} from "./explain_sections.ts";
import { type ExplainedSection, Shower } from "./explain_tensors.ts";
import {
  explainController,
  explainParameters,
  explainRatios,
  explainUpdates,
} from "./explain_update.ts";
import { advantagesOf, type PpoRun, updatePolicy } from "./ppo.ts";
import { sampleRollout } from "./rollout.ts";
import { adjustScores } from "./score_normaliser.ts";
import { scoreStep } from "./scoring.ts";
import { maskedMean } from "./stats.ts";
import { whiten } from "./whiten.ts";

/**
 * Takes one PPO step with the functions that training takes it with, and tells what they did.
 *
 * The guard does not watch, and the step is not counted by any trainer.
 *
 * @param step Number of the step, a key of the random numbers.
 */
export async function* explainStep(
  run: PpoRun,
  prompts: readonly string[],
  { step }: { step: number },
): AsyncGenerator<ExplainedSection, void> {
  const { policy, config, controller } = run;
  const rollout = await sampleRollout(policy, prompts, { ...config, step });
  const show = new Shower(run, rollout);
  yield explainPrompts(show);
  yield explainResponses(show);

  const { scores, scoreProblem } = await scoreStep(run, rollout.samples);
  const adjusted = scoreProblem ? scores : adjustScores(scores, run.scoreNormaliser, config);
  yield explainScores(show, scores);

  const experience = await scoreRollout(run, rollout, config);
  yield explainExperience(show, experience);
  const estimates = advantagesOf(run, rollout, experience, adjusted);
  yield explainKl(show, experience, estimates.klPenalty);
  yield explainRewards(show, estimates, adjusted);
  yield explainAdvantages(show, experience, estimates);

  const { beta } = controller;
  const { learningRate } = config;
  const batch = { rollout, experience, ...estimates };
  const snapshot = await ParameterSnapshot.take(policy);
  const updates = await updatePolicy(run, batch, { beta, learningRate });
  yield explainUpdates(show, updates);
  const after = await scoreRollout(run, rollout, config);
  const { advantages } = estimates;
  yield explainRatios(show, experience, {
    advantages: config.whitenAdvantages ? whiten(advantages, rollout.mask) : advantages,
    after,
  });
  yield explainParameters(show, { changes: await snapshot.changes(), updates: updates.length });

  const kl = maskedMean(estimates.klPenalty, rollout.mask);
  controller.update(kl, prompts.length);
  yield explainController(show, { kl, beta });
}
