import type { Workload } from "../helpers/random_run.ts";

/** Phases of a PPO step whose cost is arithmetic. */
export const PHASES = ["generate", "forward", "update"] as const;
/** One of {@linkcode PHASES}. */
export type Phase = typeof PHASES[number];

/**
 * Floating-point operations that each phase of a PPO step needs, a multiply-add being two: the products alone.
 *
 * With N the parameters of the blocks' matrices, 12 L C^2, a token takes 2 N in the trunk and 2 V C in the head, and a
 * query 4 L C for each of its keys; a backward takes twice its forward (Kaplan et al. 2020, arXiv:2001.08361, table
 * 1). A row's last token is not fed to a model, and prompts take no part in the head. Where the first minibatch is the
 * whole batch, it takes the forward pass that was scored.
 */
export function stepArithmetic(workload: Workload): Record<Phase, number> {
  const { layers, width, vocabulary, prompt, response, batchSize, miniBatchSize, epochs } =
    workload;
  const length = prompt + response - 1;
  const trunk = 2 * 12 * layers * width ** 2 * length * batchSize;
  const attention = 4 * layers * width * (length * (length + 1) / 2) * batchSize; // causal
  const head = 2 * vocabulary * width * response * batchSize;
  const forward = trunk + attention + head;
  return {
    generate: forward,
    forward: 2 * forward, // policy and reference
    update: epochs * 3 * forward - (miniBatchSize === batchSize ? forward : 0),
  };
}
