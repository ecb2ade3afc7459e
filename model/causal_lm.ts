import { Arena, type Gpu, type Pass, type Tensor } from "../kernels/runtime/mod.ts";
import { saveAdapters } from "./adapter_folder.ts";
import type { CausalLMConfig } from "./causal_lm_config.ts";
import { generate, type GenerateOptions, type Generation } from "./generate.ts";
import { gpt2Backward, gpt2Forward, gpt2Parameters } from "./gpt2.ts";
import { gptNeoParameters } from "./gpt_neo.ts";
import { type CausalLMFiles, saveCausalLM } from "./gpt2_weights.ts";
import type { LayerContext } from "./layers.ts";
import { LmHead } from "./lm_head.ts";
import { Adapters, type LoraOptions } from "./lora.ts";
import {
  eitherOf,
  type FlatTensors,
  ParameterLayout,
  type ParameterSpec,
  type ParameterValues,
} from "./params.ts";
import type { SaveOptions } from "./save.ts";
import { ScoreHead, type TokenScores } from "./score.ts";
import { type TokenBatch, type TokenRows, uploadTokens } from "./token_batch.ts";
import type { TextCodec } from "./tokenizer.ts";
import { valueHeadParameters } from "./value_head.ts";

/** What a {@linkcode CausalLM} is made of. */
export interface CausalLMParts {
  config: CausalLMConfig;
  tokenizer: TextCodec;
  /** Allocate gradients, so that the model can be trained. */
  train?: boolean;
  /** Add a value head, which is zero at first. */
  valueHead?: boolean;
  /** Train adapters, and the value head, in place of the parameters. */
  lora?: LoraOptions | undefined;
  /** Files of the folder that the model came from, to be kept when it is saved. */
  files?: CausalLMFiles;
  /** The parameters of another model, to be used in place of own ones and not to be freed. */
  values?: FlatTensors;
}

/** The parameters of an architecture, without a value head. */
export function causalLMParameters(config: CausalLMConfig): ParameterSpec[] {
  return config.modelType === "gpt2" ? gpt2Parameters(config) : gptNeoParameters(config);
}

/**
 * A GPT-2-class language model on the GPU: parameters, tokenizer, memory for its activations.
 *
 * Make one with `loadCausalLM` or `initCausalLM`; dispose of it, or of the Gpu, when done.
 */
export class CausalLM implements Disposable {
  readonly config: CausalLMConfig;
  readonly tokenizer: TextCodec;
  readonly files: CausalLMFiles;
  /** The parameters by checkpoint name, without the prefix `transformer.`. */
  readonly values: FlatTensors;
  /** Those that training changes: `values`, or with adapters these and the value head, which then is only here. */
  readonly trained: FlatTensors;
  /** Gradients of `trained`, if the model is trained. */
  readonly grads: FlatTensors | undefined;
  readonly adapters: Adapters | undefined;
  readonly hasValueHead: boolean;
  readonly arena: Arena;
  readonly head: LmHead;

  readonly #isShared: boolean;

  constructor(readonly gpu: Gpu, parts: CausalLMParts) {
    const { config, tokenizer, train = false, valueHead = false, lora, files = {} } = parts;
    this.config = config;
    this.tokenizer = tokenizer;
    this.files = files;
    this.hasValueHead = valueHead;
    const allocate = (specs: readonly ParameterSpec[], label: string) =>
      new ParameterLayout(specs, gpu.bindingBytes).allocate(gpu, label);
    const trunk = causalLMParameters(config);
    const ofValueHead = valueHead ? valueHeadParameters(config.nEmbd) : [];
    this.adapters = lora && new Adapters(lora, trunk);
    this.#isShared = parts.values !== undefined;
    this.values = parts.values ??
      allocate(this.adapters ? trunk : [...trunk, ...ofValueHead], "values");
    this.trained = this.adapters
      ? allocate([...this.adapters.parameters, ...ofValueHead], "adapters")
      : this.values;
    this.grads = train ? this.trained.layout.allocate(gpu, "grads") : undefined;
    this.arena = new Arena(gpu, "activations");
    const head = config.tieWordEmbeddings ? "wte.weight" : "lm_head.weight";
    const dhead = this.grads?.has(head) ? this.grads.get(head) : undefined;
    this.head = new LmHead(this.arena, this.values.get(head), dhead);
  }

  /** What the layers need to record themselves into `pass`. */
  context(pass: Pass): LayerContext {
    const { values, trained, grads, arena, adapters } = this;
    return { pass, values: adapters ? eitherOf(trained, values) : values, grads, arena, adapters };
  }

  /**
   * The model as it was before its adapters, frozen and without a value head: PPO's reference.
   *
   * It uses this model's parameters, so it lasts no longer than this one, and has memory for activations only.
   *
   * @throws {TypeError} If the model has no adapters.
   */
  withoutAdapters(): CausalLM {
    const { gpu, config, tokenizer, files, values } = this;
    if (!this.adapters) {
      throw new TypeError("Cannot leave adapters out: the model has none; load it with lora");
    }
    return new CausalLM(gpu, { config, tokenizer, files, values });
  }

  /** Where every parameter lies, and what there is. */
  get layout(): ParameterLayout {
    return this.values.layout;
  }

  /** The parameters without adapters, the value head among them. */
  get parameters(): ParameterValues {
    const { values, trained, adapters } = this;
    if (!adapters) return values;
    const ofValueHead = trained.layout.specs.filter(({ name }) => name.startsWith("v_head."));
    return {
      layout: { specs: [...values.layout.specs, ...ofValueHead] },
      get: (name) => eitherOf(trained, values).get(name),
    };
  }

  /** The same with the adapters in them; a tensor lasts until the next is asked for. */
  get merged(): ParameterValues {
    const { gpu, arena, adapters, trained, parameters } = this;
    const { layout } = parameters;
    const merge = (name: string) => {
      const weight = parameters.get(name);
      const layer = name.replace(/\.weight$/, "");
      if (!adapters?.has(layer)) return weight;
      const sum = arena.take("lora.merged", weight.shape);
      const pass = gpu.record("merge");
      pass.copy(weight, sum);
      adapters.merge(pass, { name: layer, weight: sum, values: trained });
      pass.submit();
      return sum;
    };
    return { layout, get: merge };
  }

  /** Uploads rows of token ids; see {@linkcode uploadTokens}. */
  upload(rows: TokenRows): TokenBatch {
    return uploadTokens(this.arena, rows, this.config);
  }

  /** Records the trunk: hidden states (B*T, C). With `train`, keeps what a backward pass needs. */
  forward(pass: Pass, batch: TokenBatch, options: { train?: boolean } = {}): Tensor {
    return gpt2Forward(this.context(pass), this.config, batch, options);
  }

  /**
   * Records the backward of {@linkcode forward} with `train`: adds to the gradients of the trunk.
   *
   * @param dhidden (B*T, C) gradient with respect to the hidden states.
   */
  backward(pass: Pass, batch: TokenBatch, dhidden: Tensor): void {
    gpt2Backward(this.context(pass), this.config, batch, dhidden);
  }

  /**
   * Log-probability of every token given those before it, and the entropy of its distribution.
   *
   * @param rows.temperature Divides the logits first.
   * @returns (B, T-1) in nats; entry t is about token t+1. Where either token is padding it is 0.
   */
  async logprobs(
    { temperature = 1, ...rows }: TokenRows & { temperature?: number },
  ): Promise<TokenScores> {
    const batch = this.upload(rows);
    const { B, T, host } = batch;
    const places: number[] = []; // of the tokens that predict another
    for (let at = 0; at < B * T; at++) {
      if ((at + 1) % T !== 0 && host.mask[at] && host.mask[at + 1]) places.push(at);
    }
    const scores: TokenScores = { logprobs: [], entropy: [] };
    for (let b = 0; b < B; b++) {
      scores.logprobs.push(Array(T - 1).fill(0));
      scores.entropy.push(Array(T - 1).fill(0));
    }
    if (places.length === 0) return scores;

    const pass = this.gpu.record("logprobs");
    const hidden = this.forward(pass, batch);
    const head = new ScoreHead(this.arena, this.head, "score");
    const targets = places.map((at) => host.ids[at + 1]);
    const { logprobs, entropy } = head.score(pass, { hidden, places, targets, temperature });
    pass.submit();
    const [lp, h] = await this.gpu.readAll([logprobs, entropy]);
    places.forEach((at, n) => {
      scores.logprobs[Math.floor(at / T)][at % T] = lp[n];
      scores.entropy[Math.floor(at / T)][at % T] = h[n];
    });
    return scores;
  }

  /** Continues prompts; see {@linkcode GenerateOptions}. Prompts are texts or token ids. */
  generate(
    prompts: readonly string[] | readonly (readonly number[])[],
    options: GenerateOptions,
  ): Promise<Generation> {
    return generate(this, prompts, options);
  }

  /**
   * Writes a folder that `transformers` loads: configuration, weights, tokenizer, and a model card if given.
   *
   * Of a model with adapters it holds these alone, as PEFT loads them, in float32; with `merged` it is a whole model.
   * The folder appears whole or not at all; files of other names that are in it already are kept.
   *
   * @throws {SafetensorsError} If a number is too large for the dtype.
   */
  savePretrained(
    folder: string,
    { merged = false, ...options }: SaveOptions & { merged?: boolean } = {},
  ): Promise<void> {
    const { adapters } = this;
    if (adapters && !merged) return saveAdapters(this, adapters, folder, options);
    return saveCausalLM(this, folder, options);
  }

  /** Frees the model's memory. */
  [Symbol.dispose](): void {
    if (!this.#isShared) this.values.free(this.gpu);
    if (this.trained !== this.values) this.trained.free(this.gpu);
    this.grads?.free(this.gpu);
    this.arena[Symbol.dispose]();
  }
}
