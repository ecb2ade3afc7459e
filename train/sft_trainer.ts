import { crossEntropy } from "../kernels/cross_entropy.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import type { CausalLM } from "../model/causal_lm.ts";
import { upload } from "../model/score.ts";
import { type TokenRows, withoutLast } from "../model/token_batch.ts";
import { AdamW, type AdamWOptions } from "./optimizer.ts";

/** Settings of {@linkcode SftTrainer}. */
export interface SftOptions extends AdamWOptions {
  /** Learning rate of step k, counted from 0. */
  learningRate: (step: number) => number;
  /** Micro-batches of a step; the result equals one large batch up to rounding (default 1). */
  gradientAccumulation?: number;
}

/** What a step reports. */
export interface SftStats {
  /** Mean cross-entropy over the target tokens, in nats, before the step. */
  loss: number;
  /** Norm of the gradient before clipping. */
  gradNorm: number;
  /** Target tokens in the batch. */
  tokens: number;
}

/**
 * Supervised fine-tuning: next-token cross-entropy over every token that follows another.
 *
 * ```ts
 * import { Gpu, loadCausalLM, padRight, SftTrainer } from "@kl-guard/kl-guard";
 *
 * using gpu = await Gpu.open();
 * using model = await loadCausalLM(gpu, "weights/review-gpt2", { train: true });
 * using trainer = new SftTrainer(model, { learningRate: () => 1e-4 });
 * const texts = ["The soup was cold.", "We will come again!"];
 * const rows = padRight(texts.map((text) => model.tokenizer.encode(text)), model.tokenizer.eosId);
 * const { loss } = await trainer.step(rows);
 * console.log(`${loss} nats per token`);
 * ```
 */
export class SftTrainer implements Disposable {
  /** Of the model's parameters. */
  readonly optimizer: AdamW;
  /** Steps taken. */
  steps = 0;

  /**
   * A trainer that has taken no steps.
   *
   * @param model Loaded with `train`.
   */
  constructor(readonly model: CausalLM, readonly options: SftOptions) {
    this.optimizer = new AdamW(model.gpu, model.trained.layout, options);
  }

  /** One optimizer step on rows of token ids (B, T), T at least 2. */
  async step(rows: TokenRows): Promise<SftStats> {
    const { model, optimizer, options } = this;
    const { gpu, trained, grads } = model;
    if (!grads) {
      throw new TypeError("Cannot train: the model was loaded frozen; load it with train");
    }
    optimizer.learningRate = options.learningRate(this.steps);
    const tokens = countTargets(rows);
    let loss = 0;
    const parts = split(rows, options.gradientAccumulation ?? 1)
      .map(shift)
      .filter(({ targets }) => targets.length > 0);
    for (const [index, part] of parts.entries()) {
      const { pass, losses } = this.#record(part, tokens, index === 0);
      if (index === parts.length - 1) optimizer.step(pass, trained, grads);
      pass.submit();
      loss += (await gpu.read(losses)).reduce((sum, nats) => sum + nats / tokens, 0);
    }
    const [gradNorm] = await gpu.read(optimizer.norm);
    this.steps++;
    return { loss, gradNorm, tokens };
  }

  /** Mean cross-entropy in nats over the target tokens of `rows`, without a step. */
  async evaluate(rows: TokenRows): Promise<SftStats> {
    const { logprobs } = await this.model.logprobs(rows);
    const tokens = countTargets(rows);
    const total = logprobs.reduce((sum, row) => row.reduce((a, b) => a + b, sum), 0);
    return { loss: -total / tokens, gradNorm: 0, tokens };
  }

  /** Records forward and backward of one micro-batch, each token weighted by 1 / total. */
  #record({ inputs, targets }: Shifted, total: number, first: boolean) {
    const { model } = this;
    const { gpu, config, arena, head } = model;
    const batch = model.upload(inputs);
    const targetIds = upload(arena, "sft.targets", targets, "u32");
    const targetWeights = upload(arena, "sft.weights", targets.map(() => 1 / total), "f32");

    const pass = gpu.record("sft");
    if (first) model.grads!.clear(pass);
    const hidden = model.forward(pass, batch, { train: true }); // (N, C)
    const N = hidden.rowCount;
    const losses: Tensor = arena.take("sft.losses", [N]);
    const dhidden = arena.take("dhidden", [N, config.nEmbd]);
    for (const { from, to } of head.chunks(N)) {
      const logits = head.logits(pass, hidden.rows(from, to));
      crossEntropy(pass, {
        logits,
        targets: targetIds.rows(from, to),
        weights: targetWeights.rows(from, to),
        losses: losses.rows(from, to),
      });
      head.backward(pass, {
        dlogits: logits,
        hidden: hidden.rows(from, to),
        dhidden: dhidden.rows(from, to),
      });
    }
    model.backward(pass, batch, dhidden);
    return { pass, losses };
  }

  /** Frees the optimizer; the model stays. */
  [Symbol.dispose](): void {
    this.optimizer[Symbol.dispose]();
  }
}

/** N tokens, each of which another follows, and these. */
interface Shifted {
  inputs: TokenRows;
  targets: number[];
}

function shift(rows: TokenRows): Shifted {
  const inputs = withoutLast(rows);
  const targets = rows.inputIds.flatMap((row, b) =>
    row.slice(1).filter((_, t) => inputs.attentionMask[b][t] === 1)
  );
  return { inputs, targets };
}

function countTargets(rows: TokenRows): number {
  const count = shift(rows).targets.length;
  if (count === 0) throw new RangeError("Cannot train on this batch: no token follows another");
  return count;
}

/** Splits rows into equal micro-batches. */
function split({ inputIds, attentionMask }: TokenRows, parts: number): TokenRows[] {
  if (inputIds.length % parts !== 0) {
    throw new RangeError(
      `Cannot split a batch of ${inputIds.length} rows into ${parts} micro-batches: ` +
        "the batch size must be a multiple of gradientAccumulation",
    );
  }
  const size = inputIds.length / parts;
  return Array.from({ length: parts }, (_, p) => ({
    inputIds: inputIds.slice(p * size, (p + 1) * size),
    ...(attentionMask && { attentionMask: attentionMask.slice(p * size, (p + 1) * size) }),
  }));
}
