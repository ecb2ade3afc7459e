import { planSlots } from "./plan.ts";
import type { PpoRun } from "./ppo.ts";

/**
 * Makes the activations of policy and reference as large as PPO steps on any of these prompts can need, so that no step
 * has to allocate for rows that are longer than those before it.
 *
 * @throws {ShapeError | GpuMemoryError} If they do not fit the adapter.
 */
export async function reserveActivations(
  { policy, reference, config }: Pick<PpoRun, "policy" | "reference" | "config">,
  prompts: readonly string[],
): Promise<void> {
  const { gpu, tokenizer } = policy;
  const lengths = prompts.map((prompt) => tokenizer.encode(prompt).length);
  const range = { shortest: Math.min(...lengths), longest: Math.max(...lengths) };
  const slots = await planSlots({
    model: policy.config,
    rewards: [],
    settings: { ...config, evalResponses: 0 },
    limits: { bindingBytes: gpu.bindingBytes, bufferBytes: gpu.device.limits.maxBufferSize },
    promptTokens: { training: range, evaluation: range },
  });
  policy.arena.reserve(slots.policy);
  reference.arena.reserve(slots.reference);
}
