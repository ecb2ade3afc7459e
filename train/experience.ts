import { klForward } from "../kernels/kl.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { ScoreHead } from "../model/score.ts";
import { valueForward } from "../model/value_head.ts";
import { responseTokens, type Rollout, toRows } from "./rollout.ts";

/** What the policy and the reference think of a rollout, before any update. */
export interface Experience {
  /** (B, R) nats, of the policy that sampled: PPO's "old". */
  logprobs: number[][];
  /** (B, R) of the state before each token; 0 where the policy has no value head. */
  values: number[][];
  /** (B, R) nats, of the policy's distribution for each token. */
  entropy: number[][];
  /** (B, R) nats, of the reference. */
  refLogprobs: number[][];
  /** (B, R) nats, KL(policy || reference) over the whole vocabulary. */
  klFull: number[][];
  /** The reference's part of the exact KL, kept on the GPU for the update. */
  reference: {
    hidden: Tensor; // (N, C) in the order of responseTokens
    lse: Tensor; // (N)
    /** (N, V), where they all exist at once; the update must not use the reference's head meanwhile. */
    logits?: Tensor | undefined;
  };
}

/**
 * Scores every response token by the policy and by the reference.
 *
 * With the kernels, shapes and padding of the update, so that there the ratio starts at exactly 1.
 */
export async function scoreRollout(
  { policy, reference }: { policy: CausalLM; reference: CausalLM },
  rollout: Rollout,
  { temperature }: { temperature: number },
): Promise<Experience> {
  const { gpu } = policy;
  const { mask } = rollout;
  const tokens = responseTokens(rollout, mask.map((_, b) => b));
  const places = placesOf(tokens, rollout);
  const targets = tokens.map(({ id }) => id);

  const pass = gpu.record("score");
  const begin = (model: CausalLM) => {
    const head = new ScoreHead(model.arena, model.head, "score");
    const hidden = model.forward(pass, model.upload(rollout));
    return { head, rows: head.begin(pass, { hidden, places, targets }) };
  };
  const { head, rows: ours } = begin(policy);
  const { head: refHead, rows: theirs } = begin(reference);
  const values = policy.hasValueHead ? [valueForward(policy.context(pass), ours.hidden)] : [];
  const kl = policy.arena.take("score.kl", [tokens.length]);
  const chunks = policy.head.chunks(tokens.length);
  let refLogits: Tensor | undefined;
  for (const chunk of chunks) {
    const { from, to } = chunk;
    refLogits = refHead.scoreChunk(pass, theirs, chunk, { temperature });
    klForward(pass, {
      logits: head.scoreChunk(pass, ours, chunk, { temperature }),
      refLogits,
      lse: ours.lse.rows(from, to),
      refLse: theirs.lse.rows(from, to),
      kl: kl.rows(from, to),
    }, { temperature });
  }
  pass.submit();

  const [logprobs, entropy, refLogprobs, klFull, value] = await gpu.readAll([
    ours.logprobs,
    ours.entropy,
    theirs.logprobs,
    kl,
    ...values,
  ]);
  return {
    logprobs: toRows(logprobs, mask),
    values: toRows(value ?? new Float32Array(tokens.length), mask),
    entropy: toRows(entropy, mask),
    refLogprobs: toRows(refLogprobs, mask),
    klFull: toRows(klFull, mask),
    reference: {
      hidden: theirs.hidden,
      lse: theirs.lse,
      logits: chunks.length === 1 ? refLogits : undefined,
    },
  };
}

/** Rows of the flattened (B*T) hidden states that predict the tokens: one column before each. */
export function placesOf(
  tokens: readonly { b: number; r: number }[],
  { Q, R }: { Q: number; R: number },
): number[] {
  return tokens.map(({ b, r }) => b * (Q + R) + Q + r - 1);
}
