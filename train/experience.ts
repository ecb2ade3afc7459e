import { klForward } from "../kernels/kl.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { ScoreHead } from "../model/score.ts";
import { placeOf, type TokenBatch } from "../model/token_batch.ts";
import { valueForward } from "../model/value_head.ts";
import { contextsOf, responseTokens, type Rollout, toRows } from "./rollout.ts";

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
  /** The policy's forward pass, where it was kept. */
  forward?: KeptForward | undefined;
}

/** A forward pass with `train` over all rows of a rollout, in their order; in the model's memory until its next one. */
export interface KeptForward {
  /** Every row without its last token. */
  batch: TokenBatch;
  /** (tokens, C) hidden states after the trunk. */
  trunk: Tensor;
  /** (N, V) in the order of {@linkcode responseTokens}, where they all exist at once. */
  logits?: Tensor | undefined;
}

/** How to score a rollout. */
export interface ScoreOptions {
  /** Divides the logits, as when sampling. */
  temperature: number;
  /**
   * Whether to keep the policy's forward pass, for an update that begins with all rows at once. The policy must compute
   * nothing between (default false).
   */
  keepForward?: boolean;
}

/**
 * Scores every response token by the policy and by the reference.
 *
 * With the kernels and shapes of the update, so that there the ratio starts at exactly 1.
 */
export async function scoreRollout(
  { policy, reference }: { policy: CausalLM; reference: CausalLM },
  rollout: Rollout,
  { temperature, keepForward = false }: ScoreOptions,
): Promise<Experience> {
  const { gpu } = policy;
  const { mask } = rollout;
  const tokens = responseTokens(rollout, mask.map((_, b) => b));
  const targets = tokens.map(({ id }) => id);

  const pass = gpu.record("score");
  const begin = (model: CausalLM, train: boolean) => {
    const head = new ScoreHead(model.arena, model.head, "score");
    const batch = model.upload(contextsOf(rollout));
    const trunk = model.forward(pass, batch, { train });
    const places = placesOf(tokens, batch, rollout);
    return { head, batch, trunk, rows: head.begin(pass, { hidden: trunk, places, targets }) };
  };
  const { head, batch, trunk, rows: ours } = begin(policy, keepForward);
  const { head: refHead, rows: theirs } = begin(reference, false);
  const values = policy.hasValueHead ? [valueForward(policy.context(pass), ours.hidden)] : [];
  const kl = policy.arena.take("score.kl", [tokens.length]);
  const chunks = policy.head.chunks(tokens.length);
  let logits: Tensor | undefined;
  let refLogits: Tensor | undefined;
  for (const chunk of chunks) {
    const { from, to } = chunk;
    refLogits = refHead.scoreChunk(pass, theirs, chunk, { temperature });
    logits = head.scoreChunk(pass, ours, chunk, { temperature });
    klForward(pass, {
      logits,
      refLogits,
      lse: ours.lse.rows(from, to),
      refLse: theirs.lse.rows(from, to),
      kl: kl.rows(from, to),
    }, { temperature });
  }
  pass.submit();

  const isOneChunk = chunks.length === 1; // else the next has overwritten the one before
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
      logits: isOneChunk ? refLogits : undefined,
    },
    forward: keepForward ? { batch, trunk, logits: isOneChunk ? logits : undefined } : undefined,
  };
}

/** Which tokens of a batch predict those of responses: one column before each. */
export function placesOf(
  tokens: readonly { b: number; r: number }[],
  batch: Pick<TokenBatch, "host">,
  { Q }: Pick<Rollout, "Q">,
): number[] {
  return tokens.map(({ b, r }) => placeOf(batch, b, Q + r - 1));
}
