import { klForward } from "../kernels/kl.ts";
import { type KlTerm, packTokens, PPO_STATS, ppoLoss } from "../kernels/ppo_loss.ts";
import { gatherRows, scatterRows } from "../kernels/rows.ts";
import type { Pass, Tensor } from "../kernels/runtime/mod.ts";
import { tokenLogprobsBackward, tokenLogprobsForward } from "../kernels/token_logprobs.ts";
import { VALUE_STATS, valueLoss } from "../kernels/value_loss.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { upload } from "../model/score.ts";
import { valueBackward, valueForward } from "../model/value_head.ts";
import { type Experience, type KeptForward, placesOf } from "./experience.ts";
import type { UpdateStats } from "./metrics.ts";
import type { Minibatch } from "./minibatches.ts";
import type { AdamW } from "./optimizer.ts";
import { contextsOf, type ResponseToken, responseTokens, type Rollout } from "./rollout.ts";

/** The constants of PPO's loss. */
export interface LossOptions {
  /** Divides the logits, as when sampling. */
  temperature: number;
  /** Epsilon of the clipped surrogate. */
  clipRange: number;
  /** How far a value may move from the old one before its loss is clipped. */
  valueClipRange: number;
  /** c1, the weight of the value loss. */
  valueCoef: number;
  /** c2, the weight of the entropy bonus. */
  entropyCoef: number;
  /** Which KL is a term of the loss; `none` where it is in the reward instead. */
  klTerm: KlTerm;
}

/** A batch as the update sees it. */
export interface UpdateBatch {
  rollout: Rollout;
  experience: Experience;
  advantages: readonly (readonly number[])[]; // (B, R)
  returns: readonly (readonly number[])[]; // (B, R)
}

const PPO_SIZE = 16;
const VALUE_SIZE = 8;
const NORM_SIZE = 4;
const LOG_SIZE = PPO_SIZE + VALUE_SIZE + NORM_SIZE;

/** The policy's update: K epochs of minibatches on the GPU, with one read-back at the end. */
export class PolicyUpdate {
  constructor(
    readonly models: { policy: CausalLM; reference: CausalLM; optimizer: AdamW },
    readonly options: LossOptions,
  ) {}

  /** Takes one optimizer step for each minibatch. */
  async run(
    batch: UpdateBatch,
    minibatches: Iterable<Minibatch>,
    beta: number,
  ): Promise<UpdateStats[]> {
    const { policy, optimizer } = this.models;
    const { gpu, arena } = policy;
    const grads = policy.grads;
    if (!grads) {
      throw new TypeError("Cannot update the policy: it was loaded frozen; load it with train");
    }
    const steps = [...minibatches].filter(({ tokens }) => tokens > 0);
    const log = arena.take("ppo.log", [steps.length, LOG_SIZE]);
    const stats = arena.take("ppo.stats", [PPO_SIZE]);
    const valueStats = arena.take("ppo.value_stats", [VALUE_SIZE]);
    const coefficients = upload(arena, "ppo.coefficients", [beta, 0, 0, 0], "f32");

    for (const [index, { microBatches, tokenWeight }] of steps.entries()) {
      const parts = microBatches.filter(({ tokens }) => tokens > 0);
      for (const [part, { rows }] of parts.entries()) {
        const tokens = responseTokens(batch.rollout, rows);
        const pass = gpu.record("update");
        if (part === 0) { for (const tensor of [stats, valueStats]) pass.clear(tensor); }
        if (part === 0) grads.clear(pass);
        // What was scored was the same policy; later it has moved.
        const isKept = index === 0 && rows.length === batch.rollout.mask.length;
        this.#record(pass, batch, {
          ...{ rows, tokens, tokenWeight, coefficients, stats, valueStats },
          forward: isKept ? batch.experience.forward : undefined,
        });
        pass.submit();
      }
      const pass = gpu.record("optimizer");
      optimizer.step(pass, policy.trained, grads);
      const row = log.rows(index, index + 1).view([LOG_SIZE]);
      pass.copy(stats, row.rows(0, PPO_SIZE));
      pass.copy(valueStats, row.rows(PPO_SIZE, PPO_SIZE + VALUE_SIZE));
      pass.copy(optimizer.norm, row.rows(PPO_SIZE + VALUE_SIZE, LOG_SIZE));
      pass.submit();
    }
    const numbers = await gpu.read(log);
    return steps.map((_, index) =>
      this.#statsOf(numbers.subarray(index * LOG_SIZE, (index + 1) * LOG_SIZE), beta)
    );
  }

  /** Records forward, loss and backward of one micro-batch; gradients and statistics add up. */
  #record(
    pass: Pass,
    { rollout, experience, advantages, returns }: UpdateBatch,
    { rows, tokens, tokenWeight, coefficients, stats, valueStats, forward }: {
      rows: readonly number[];
      tokens: ResponseToken[];
      tokenWeight: number;
      coefficients: Tensor;
      stats: Tensor;
      valueStats: Tensor;
      forward: KeptForward | undefined;
    },
  ): void {
    const { policy } = this.models;
    const { temperature, klTerm, clipRange, entropyCoef, valueClipRange, valueCoef } = this.options;
    const { arena, config, head } = policy;
    const [N, C] = [tokens.length, config.nEmbd];
    const ofTokens = (name: string, of: readonly (readonly number[])[]) =>
      upload(arena, `ppo.${name}`, tokens.map(({ b, r }) => of[b][r]), "f32");
    const slot = (name: string) => arena.take(`ppo.${name}`, [N]);

    // Forward: the trunk on whole rows, the heads on the places that predict a response token.
    const { batch, trunk, logits: kept } = forward ?? this.#forward(pass, rollout, rows);
    const local = tokens.map(({ b, r }) => ({ b: rows.indexOf(b), r }));
    const places = upload(arena, "ppo.places", placesOf(local, batch, rollout), "u32");
    const hidden = arena.take("ppo.hidden", [N, C]);
    gatherRows(pass, { source: trunk, index: places, out: hidden });

    const targets = upload(arena, "ppo.targets", tokens.map(({ id }) => id), "u32");
    const known = packTokens(tokens.map(({ b, r }) => ({
      oldLogprob: experience.logprobs[b][r],
      refLogprob: experience.refLogprobs[b][r],
      advantage: advantages[b][r],
      weight: tokenWeight,
    })));
    const packed = upload(arena, "ppo.tokens", known, "f32").view([N, 4]);
    const [logprobs, lse, entropy, kl] = ["logprobs", "lse", "entropy", "kl"].map(slot);
    const tokenGradients = arena.take("ppo.token_gradients", [N, 4]);
    const dhidden = arena.take("ppo.dhidden", [N, C]);
    const referenceRows = klTerm === "full"
      ? this.#gatherReference(pass, rollout, experience, tokens)
      : undefined;

    // Policy loss and its gradient, with the logits of one chunk of tokens in memory at a time.
    for (const { from, to } of head.chunks(N)) {
      const rowsOf = <D extends "f32" | "u32">(tensor: Tensor<D>) => tensor.rows(from, to);
      const logits = kept ?? head.logits(pass, rowsOf(hidden));
      tokenLogprobsForward(pass, {
        logits,
        targets: rowsOf(targets),
        logprobs: rowsOf(logprobs),
        lse: rowsOf(lse),
        entropy: rowsOf(entropy),
      }, { temperature });
      const exact = referenceRows && {
        refLogits: referenceRows.logits(from, to),
        refLse: rowsOf(referenceRows.lse),
        kl: rowsOf(kl),
      };
      if (exact) klForward(pass, { logits, lse: rowsOf(lse), ...exact }, { temperature });
      ppoLoss(pass, {
        logprobs: rowsOf(logprobs),
        entropy: rowsOf(entropy),
        kl: exact?.kl,
        tokens: rowsOf(packed),
        coefficients,
        tokenGradients: rowsOf(tokenGradients),
        stats,
      }, { clipRange, entropyCoef, klTerm });
      tokenLogprobsBackward(pass, {
        logits,
        targets: rowsOf(targets),
        lse: rowsOf(lse),
        entropy: rowsOf(entropy),
        tokenGradients: rowsOf(tokenGradients),
        ...exact,
      }, { temperature });
      head.backward(pass, { dlogits: logits, hidden: rowsOf(hidden), dhidden: rowsOf(dhidden) });
    }

    // Value loss and its gradient.
    const context = policy.context(pass);
    const dvalues = slot("dvalues");
    valueLoss(pass, {
      values: valueForward(context, hidden),
      oldValues: ofTokens("old_values", experience.values),
      returns: ofTokens("returns", returns),
      weights: upload(arena, "ppo.weights", tokens.map(() => tokenWeight), "f32"),
      dvalues,
      stats: valueStats,
    }, { clipRange: valueClipRange, valueCoef });
    valueBackward(context, { hidden, dvalues, dhidden });

    // Backward through the trunk.
    const dtrunk = arena.take("dhidden", [batch.N, C]);
    pass.clear(dtrunk);
    scatterRows(pass, { source: dhidden, index: places, out: dtrunk });
    policy.backward(pass, batch, dtrunk);
  }

  /** Records the policy's trunk on some rows. */
  #forward(pass: Pass, rollout: Rollout, rows: readonly number[]): KeptForward {
    const { policy } = this.models;
    const batch = policy.upload(contextsOf(rollout, rows));
    return { batch, trunk: policy.forward(pass, batch, { train: true }) };
  }

  /** The reference's logits and log-sum-exps of these tokens, out of those of the whole batch. */
  #gatherReference(
    pass: Pass,
    rollout: Rollout,
    { reference: { hidden, lse, logits } }: Experience,
    tokens: readonly ResponseToken[],
  ): { logits: (from: number, to: number) => Tensor; lse: Tensor } {
    const { policy: { arena }, reference: { head } } = this.models;
    const N = tokens.length;
    if (N === lse.size) { // all, in their order
      return { logits: (from, to) => logits ?? head.logits(pass, hidden.rows(from, to)), lse };
    }
    const starts: number[] = []; // of each row in the compact order
    rollout.responseLengths.reduce((sum, length, b) => (starts[b] = sum, sum + length), 0);
    const index = upload(arena, "ppo.reference", tokens.map(({ b, r }) => starts[b] + r), "u32");
    const gather = (name: string, source: Tensor) => {
      const out = arena.take(`ppo.reference.${name}`, [N, source.columnCount]);
      gatherRows(pass, { source, index, out });
      return out;
    };
    // All that scoring kept is copied, since a product of the head costs far more.
    const rows = logits ? gather("logits", logits) : gather("hidden", hidden);
    return {
      logits: (from, to) => logits ? rows.rows(from, to) : head.logits(pass, rows.rows(from, to)),
      lse: gather("lse", lse.view([lse.size, 1])).view([N]),
    };
  }

  #statsOf(log: Float32Array, beta: number): UpdateStats {
    const ppo = (name: keyof typeof PPO_STATS) => log[PPO_STATS[name]];
    const value = (name: keyof typeof VALUE_STATS) => log[PPO_SIZE + VALUE_STATS[name]];
    const [gradNorm, , finite] = log.subarray(PPO_SIZE + VALUE_SIZE);
    const { valueCoef, entropyCoef, klTerm } = this.options;
    const kl = klTerm === "none" ? 0 : ppo("klTerm");
    return {
      policyLoss: ppo("policyLoss"),
      valueLoss: value("valueLoss"),
      totalLoss: ppo("policyLoss") + valueCoef * value("valueLoss") - entropyCoef * ppo("entropy") +
        beta * kl,
      entropy: ppo("entropy"),
      kl,
      approxKl: ppo("approxKl"),
      policyKl: ppo("policyKl"),
      clipFraction: ppo("clipFraction"),
      ratioMean: ppo("ratio"),
      ratioMax: ppo("ratioMax"),
      logRatioMax: ppo("logRatioMax"),
      valueClipFraction: value("clipFraction"),
      valueError: value("error"),
      valueMean: value("mean"),
      gradNorm,
      skipped: finite === 0,
    };
  }
}
