import { gatherRows, scatterRows } from "../kernels/rows.ts";
import { Arena, type Gpu, groupsWithin, type Pass, type Tensor } from "../kernels/runtime/mod.ts";
import type { SequenceClassifierConfig } from "./classifier_config.ts";
import { type ClassifierHead, distilbertHead, scoreHead } from "./classifier_heads.ts";
import { distilbertBackward, distilbertForward, distilbertParameters } from "./distilbert.ts";
import { gpt2Backward, gpt2Forward, gpt2Parameters } from "./gpt2.ts";
import { Gradients } from "./gradients.ts";
import { HalfTensors, keptInHalves } from "./half_tensors.ts";
import type { LayerContext } from "./layers.ts";
import { eitherOf, type FlatTensors, ParameterLayout, type ParameterSpec } from "./params.ts";
import type { SaveOptions } from "./save.ts";
import { saveSequenceClassifier } from "./sequence_classifier_weights.ts";
import {
  padRight,
  type TokenBatch,
  type TokenRows,
  TokenRowsError,
  uploadTokens,
} from "./token_batch.ts";
import type { TextCodec } from "./tokenizer.ts";

/** Most tokens of a batch, unless one text has more: 48 MiB for BERT's widest activation. */
const BATCH_TOKENS = 4096;

/** What a {@linkcode SequenceClassifier} says of a text. */
export interface Classification {
  /** The label with the largest logit; the only one of a model that scores. */
  label: string;
  /**
   * The probability of `label`, from 0 to 1. Of a model with a single label it is the logistic function of the
   * score, as transformers' pipeline has it: under Bradley and Terry's model, the probability that the text is
   * preferred to one with score 0.
   */
  confidence: number;
  /** One for each label; of a model with a single label, the score itself. */
  logits: number[];
  /** One for each label: the softmax of the logits; of a single one, the confidence. */
  probabilities: number[];
  /** Whether the text was longer than the model's context and only its beginning was read. */
  truncated: boolean;
}

/** The tokens of a text, as a classifier takes them. */
export interface EncodedText {
  /** Token ids, special tokens included. */
  ids: number[];
  /** Whether the text was longer than the model's context; `ids` are then its beginning. */
  truncated: boolean;
}

/** What a {@linkcode SequenceClassifier} is made of. */
export interface SequenceClassifierParts {
  /** Shape, labels and options of the architecture. */
  config: SequenceClassifierConfig;
  /** Text to token ids. */
  tokenizer: TextCodec;
  /** Allocate gradients, so that the model can be trained. */
  train?: boolean;
  /** `config.json` of the folder that the model came from, whose other keys are kept when it is saved. */
  original?: unknown;
  /** Whether the head is new, and says nothing before it is trained. */
  freshHead?: boolean;
  /**
   * Matrices in 16 bits, to be used in place of own ones; the model, which cannot be trained, frees them.
   *
   * @internal
   */
  halves?: HalfTensors | undefined;
}

/** The parameters of a classifier without its head. */
export function classifierTrunk(trunk: SequenceClassifierConfig["trunk"]): ParameterSpec[] {
  return trunk.modelType === "gpt2" ? gpt2Parameters(trunk) : distilbertParameters(trunk);
}

/**
 * A transformer with a head that tells texts apart, or scores them: DistilBERT or GPT-2, parameters, tokenizer,
 * memory for its activations.
 *
 * Make one with `loadSequenceClassifier` or `initSequenceClassifier`; dispose of it, or of the Gpu, when done.
 *
 * ```ts
 * import { Gpu, loadSequenceClassifier } from "@kl-guard/kl-guard";
 *
 * using gpu = await Gpu.open();
 * using model = await loadSequenceClassifier(gpu, "weights/review-distilbert");
 * const [{ label, confidence }] = await model.classify(["I loved every minute of it."]);
 * console.log(label, confidence);
 * ```
 */
export class SequenceClassifier implements Disposable {
  /** Shape, labels and options of the architecture. */
  readonly config: SequenceClassifierConfig;
  /** Text to token ids. */
  readonly tokenizer: TextCodec;
  /** `config.json` of the folder that the model came from, as far as it does not speak of another head. */
  readonly original: unknown;
  /** Whether the head is new, and says nothing before it is trained. */
  readonly freshHead: boolean;
  /** Where the parameters lie in flat memory. */
  readonly layout: ParameterLayout;
  /** The parameters by checkpoint name, without the trunk's prefix; those in `halves` are not among them. */
  readonly values: FlatTensors;
  /**
   * Matrices that are kept in 16 bits.
   *
   * @internal
   */
  readonly halves: HalfTensors | undefined;
  /** Their gradients, if the model is trained; `settle` them before they are read. */
  readonly grads: Gradients | undefined;
  /** Memory of the activations. */
  readonly arena: Arena;
  readonly #head: ClassifierHead;

  /** A model whose parameters are zero; `loadSequenceClassifier` and `initSequenceClassifier` fill them. */
  constructor(readonly gpu: Gpu, parts: SequenceClassifierParts) {
    const { config, tokenizer, train = false, original = {}, freshHead = false, halves } = parts;
    this.config = config;
    this.tokenizer = tokenizer;
    this.original = original;
    this.freshHead = freshHead;
    const { trunk, labels } = config;
    this.#head = trunk.modelType === "gpt2"
      ? scoreHead(trunk.nEmbd, labels.length)
      : distilbertHead(trunk.dim, labels.length);
    const specs = [...classifierTrunk(trunk), ...this.#head.parameters]
      .filter(({ name }) => !halves?.has(name));
    this.halves = halves;
    this.layout = new ParameterLayout(specs, gpu.bindingBytes);
    this.values = this.layout.allocate(gpu, "values");
    this.grads = train ? Gradients.allocate(gpu, this.layout) : undefined;
    this.arena = new Arena(gpu, "activations");
  }

  /** The name of each logit. */
  get labels(): readonly string[] {
    return this.config.labels;
  }

  /**
   * What the layers need to record themselves into `pass`.
   *
   * @internal
   */
  context(pass: Pass): LayerContext {
    const { values, halves, grads, arena } = this;
    const all = halves ? eitherOf(halves.expandedIn(pass, arena), values) : values;
    return { pass, values: all, halves, grads, arena };
  }

  /**
   * The same classifier with its matrices in 16 bits: about half the memory, and not to be trained or saved. This
   * one is disposed of.
   */
  halved(): SequenceClassifier {
    const { gpu, config, tokenizer, original, freshHead, values, layout } = this;
    const halves = HalfTensors.of(gpu, values, layout.specs);
    const parts = { config, tokenizer, original, freshHead, halves };
    const classifier = new SequenceClassifier(gpu, parts);
    const pass = gpu.record("halved");
    for (const { name } of classifier.layout.specs) {
      pass.copy(values.get(name), classifier.values.get(name));
    }
    pass.submit();
    this[Symbol.dispose]();
    return classifier;
  }

  /**
   * The token ids of a text, cut where it is longer than the model's context.
   *
   * DistilBERT's begin with [CLS] and end with [SEP], cut or not. GPT-2 reads the text as it is; an empty one is
   * the token that starts a text.
   */
  encode(text: string): EncodedText {
    const { bosId, eosId } = this.tokenizer;
    const { modelType, nPositions } = this.config.trunk;
    const ids = this.tokenizer.encode(text);
    const most = modelType === "gpt2" ? nPositions : nPositions - 2;
    const kept = ids.slice(0, most);
    const truncated = kept.length < ids.length;
    if (modelType === "distilbert") return { ids: [bosId, ...kept, eosId], truncated };
    return { ids: kept.length > 0 ? kept : [bosId], truncated };
  }

  /**
   * Uploads rows of token ids, padded on either side; see {@linkcode uploadTokens} and `padRight`.
   *
   * @throws {TokenRowsError} If a row has no tokens, or the rows cannot be a batch.
   */
  upload(rows: TokenRows): TokenBatch {
    const empty = rows.attentionMask?.findIndex((mask) => !mask.includes(1)) ?? -1;
    if (empty >= 0) {
      throw new TokenRowsError(
        `Cannot make a batch: row ${empty} has no tokens, so there is nothing to classify`,
      );
    }
    return uploadTokens(this.arena, rows, this.config.trunk);
  }

  /**
   * Records the logits (B, labels); they last until the next forward pass. With `train`, keeps what
   * {@linkcode backward} needs.
   */
  forward(pass: Pass, batch: TokenBatch, { train = false }: { train?: boolean } = {}): Tensor {
    const context = this.context(pass);
    const { trunk } = this.config;
    const hidden = trunk.modelType === "gpt2" // (N, C)
      ? gpt2Forward(context, trunk, batch, { train })
      : distilbertForward(context, trunk, batch, { train });
    const pooled = this.arena.take("pooled", [batch.host.starts.length, hidden.columnCount]);
    gatherRows(pass, { source: hidden, index: this.#places(batch), out: pooled });
    return this.#head.forward(context, pooled);
  }

  /**
   * Records the backward pass of {@linkcode forward} with `train`: adds to every gradient.
   *
   * @param dlogits (B, labels) gradient with respect to the logits.
   */
  backward(pass: Pass, batch: TokenBatch, dlogits: Tensor): void {
    const context = this.context(pass);
    const { trunk } = this.config;
    const C = trunk.modelType === "gpt2" ? trunk.nEmbd : trunk.dim;
    const B = batch.host.starts.length;
    const pooled = this.arena.take("pooled", [B, C]);
    const dpooled = this.arena.take("dpooled", [B, C]);
    this.#head.backward(context, { pooled, dlogits, dpooled });
    const dhidden = this.arena.take("dhidden", [batch.N, C]);
    pass.clear(dhidden);
    scatterRows(pass, { source: dpooled, index: this.#places(batch), out: dhidden });
    if (trunk.modelType === "gpt2") gpt2Backward(context, trunk, batch, dhidden);
    else distilbertBackward(context, trunk, batch, dhidden);
  }

  /**
   * Classifies texts, in batches of as many as fit. A text's numbers do not depend on the others.
   */
  async classify(texts: readonly string[]): Promise<Classification[]> {
    const encoded = texts.map((text) => this.encode(text));
    const logits: number[][] = [];
    const rows = encoded.map(({ ids }) => ids);
    const sizes = { most: BATCH_TOKENS, sizeOf: (ids: readonly number[]) => ids.length };
    for (const batch of groupsWithin(rows, sizes)) logits.push(...await this.#logits(batch));
    return logits.map((row, i) => this.#classification(row, encoded[i].truncated));
  }

  /**
   * Writes a folder that `transformers` loads; it appears whole or not at all.
   *
   * @throws {SafetensorsError} If a number is too large for the dtype.
   * @throws {TypeError} If the model keeps matrices in 16 bits, which are only good for computing.
   */
  savePretrained(folder: string, options?: SaveOptions): Promise<void> {
    if (this.halves) throw keptInHalves();
    return saveSequenceClassifier(this, folder, options);
  }

  /** Frees the model's memory. */
  [Symbol.dispose](): void {
    this.values.free(this.gpu);
    this.halves?.free(this.gpu);
    this.grads?.free(this.gpu);
    this.arena[Symbol.dispose]();
  }

  async #logits(rows: readonly (readonly number[])[]): Promise<number[][]> {
    const { trunk, labels } = this.config;
    const padId = trunk.modelType === "gpt2" ? this.tokenizer.eosId : trunk.padTokenId;
    const pass = this.gpu.record("classify");
    const logits = this.forward(pass, this.upload(padRight(rows, padId)));
    pass.submit();
    const flat = Array.from(await this.gpu.read(logits));
    return rows.map((_, b) => flat.slice(b * labels.length, (b + 1) * labels.length));
  }

  #classification(logits: number[], truncated: boolean): Classification {
    const peak = Math.max(...logits);
    const masses = logits.map((logit) => Math.exp(logit - peak));
    const total = masses.reduce((sum, mass) => sum + mass);
    const probabilities = logits.length === 1
      ? [1 / (1 + Math.exp(-logits[0]))]
      : masses.map((mass) => mass / total);
    const best = Math.max(0, logits.indexOf(peak)); // all are NaN where the parameters are not finite
    return {
      label: this.labels[best],
      confidence: probabilities[best],
      logits,
      probabilities,
      truncated,
    };
  }

  /** (B) the row of the hidden states (N, C) that the head reads of each text. */
  #places({ sequences: { lengths }, host: { starts } }: TokenBatch): Tensor<"u32"> {
    const isFirst = this.#head.token === "first";
    const index = starts.map((start, b) => isFirst ? start : start + lengths[b] - 1);
    const places = this.arena.take("places", [index.length], "u32");
    this.gpu.write(places, index);
    return places;
  }
}
