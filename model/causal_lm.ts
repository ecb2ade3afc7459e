import { Arena, type Gpu, type Pass, type Tensor } from "../kernels/runtime/mod.ts";
import { saveAdapters } from "./adapter_folder.ts";
import type { CausalLMConfig } from "./causal_lm_config.ts";
import { type CausalLMFiles, saveCausalLM } from "./causal_lm_folder.ts";
import { generate, type GenerateOptions, type Generation } from "./generate.ts";
import { gpt2Backward, gpt2Forward, gpt2Parameters, isBelow } from "./gpt2.ts";
import { gptNeoParameters } from "./gpt_neo.ts";
import { Gradients } from "./gradients.ts";
import { type FrozenDtype, HalfTensors, keptInHalves } from "./half_tensors.ts";
import type { LayerContext } from "./layers.ts";
import { LmHead } from "./lm_head.ts";
import { Adapters, type LoraOptions } from "./lora.ts";
import { allocateParameters, type ParameterMemory } from "./parameter_memory.ts";
import {
  eitherOf,
  type FlatTensors,
  type JoinedTensors,
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
  /** Shape and options of the architecture. */
  config: CausalLMConfig;
  /** Text to token ids and back. */
  tokenizer: TextCodec;
  /** Allocate gradients, so that the model can be trained. */
  train?: boolean | undefined;
  /** Add a value head, which is zero at first. */
  valueHead?: boolean | undefined;
  /** Train adapters, and the value head, in place of the parameters. */
  lora?: LoraOptions | undefined;
  /** Train neither the first blocks, as many as this says, nor the embeddings (default 0: train all). */
  frozenBlocks?: number | undefined;
  /** Files of the folder that the model came from, to be kept when it is saved. */
  files?: CausalLMFiles;
  /**
   * Parameters of another model, to be used in place of own ones and not to be freed.
   *
   * @internal
   */
  shared?: FlatTensors | undefined;
  /**
   * Matrices in 16 bits, to be used in place of own ones; the model, which cannot be trained, frees them.
   *
   * @internal
   */
  halves?: HalfTensors | undefined;
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
  /** Shape and options of the architecture. */
  readonly config: CausalLMConfig;
  /** Text to token ids and back. */
  readonly tokenizer: TextCodec;
  /** Files that are saved with the model as they are. */
  readonly files: CausalLMFiles;
  /** The parameters by checkpoint name, without the prefix `transformer.`; those in `halves` are not among them. */
  readonly values: FlatTensors | JoinedTensors;
  /**
   * Matrices that are kept in 16 bits.
   *
   * @internal
   */
  readonly halves: HalfTensors | undefined;
  /**
   * Those that training changes: `values`, or what of them is not frozen, or with adapters these and the value head,
   * which then is only here.
   */
  readonly trained: FlatTensors;
  /** Gradients of `trained`, if the model is trained; `settle` them before they are read. */
  readonly grads: Gradients | undefined;
  /** What is trained in place of the parameters; undefined where these are. */
  readonly adapters: Adapters | undefined;
  /** The first blocks, which with the embeddings are not trained; 0 where all is. */
  readonly frozenBlocks: number;
  /** Whether it has a value head. */
  readonly hasValueHead: boolean;
  /** Memory of the activations. */
  readonly arena: Arena;
  /**
   * The language-model head.
   *
   * @internal
   */
  readonly head: LmHead;

  readonly #memory: ParameterMemory;

  /**
   * A model whose parameters are zero; `loadCausalLM` and `initCausalLM` fill them.
   *
   * @throws {RangeError} If more blocks are to be frozen than there are.
   * @throws {LoraError} If the model has no place for the adapters.
   */
  constructor(readonly gpu: Gpu, parts: CausalLMParts) {
    const { config, tokenizer, train = false, valueHead = false, files = {} } = parts;
    const { lora, frozenBlocks = 0, shared, halves } = parts;
    expectBlocks(frozenBlocks, config);
    this.config = config;
    this.tokenizer = tokenizer;
    this.files = files;
    this.frozenBlocks = frozenBlocks;
    this.hasValueHead = valueHead;
    const isFrozen = (name: string) => isBelow(name, frozenBlocks);
    const trunk = causalLMParameters(config).filter(({ name }) => !halves?.has(name));
    const ofValueHead = valueHead ? valueHeadParameters(config.nEmbd) : [];
    this.adapters = lora && new Adapters(lora, trunk.filter(({ name }) => !isFrozen(name)));
    this.#memory = allocateParameters(gpu, {
      specs: [...trunk, ...ofValueHead],
      isFixed: this.adapters ? (name) => !name.startsWith("v_head.") : isFrozen,
      adapters: this.adapters,
      shared,
    });
    this.values = this.#memory.values;
    this.trained = this.#memory.trained;
    this.halves = halves;
    this.grads = train ? Gradients.allocate(gpu, this.trained.layout) : undefined;
    this.arena = new Arena(gpu, "activations");
    const head = config.tieWordEmbeddings ? "wte.weight" : "lm_head.weight";
    const weight = (halves?.has(head) ? halves : this.values).get(head);
    const grads = this.grads?.has(head) ? this.grads : undefined;
    this.head = new LmHead(this.arena, weight, grads && (() => grads.target(head)));
  }

  /**
   * What the layers need to record themselves into `pass`.
   *
   * @internal
   */
  context(pass: Pass): LayerContext {
    const { values, trained, halves, grads, arena, adapters } = this;
    const others = adapters ? trained : halves?.expandedIn(pass, arena);
    const all = others ? eitherOf(others, values) : values;
    return { pass, values: all, halves, grads, arena, adapters };
  }

  /**
   * The model as it is now, without adapters and value head, and not to be trained: PPO's reference.
   *
   * It uses those of this model's parameters that training does not change, so it lasts no longer than this one; the
   * others it has for itself.
   *
   * @param dtype How it keeps its own matrices.
   */
  reference({ dtype = "f32" }: { dtype?: FrozenDtype } = {}): CausalLM {
    const { gpu, config, tokenizer, files, values } = this;
    const shared = this.#memory.fixed;
    const own = causalLMParameters(config).filter(({ name }) => !shared?.has(name));
    const halves = dtype === "f16" ? HalfTensors.of(gpu, values, own) : undefined;
    const reference = new CausalLM(gpu, { config, tokenizer, files, shared, halves });
    const pass = gpu.record("reference");
    for (const { name } of own) {
      if (!halves?.has(name)) pass.copy(values.get(name), reference.values.get(name));
    }
    pass.submit();
    return reference;
  }

  /** What `values` are. */
  get layout(): (FlatTensors | JoinedTensors)["layout"] {
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

  /** Records the trunk: hidden states (N, C) of all tokens. With `train`, keeps what a backward pass needs. */
  forward(pass: Pass, batch: TokenBatch, options: { train?: boolean } = {}): Tensor {
    const { config, frozenBlocks } = this;
    return gpt2Forward(this.context(pass), config, batch, { ...options, frozenBlocks });
  }

  /**
   * Records the backward of {@linkcode forward} with `train`: adds to those gradients of the trunk that there are.
   *
   * @param dhidden (N, C) gradient with respect to the hidden states.
   */
  backward(pass: Pass, batch: TokenBatch, dhidden: Tensor): void {
    const { config, frozenBlocks } = this;
    gpt2Backward(this.context(pass), config, batch, dhidden, { frozenBlocks });
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
    const { sequences: { lengths }, host: { ids, starts, columns } } = batch;
    // Tokens that another follows.
    const predicting = lengths.flatMap((length, b) =>
      Array.from({ length: Math.max(length - 1, 0) }, (_, t) => ({
        b,
        t: columns[b] + t,
        place: starts[b] + t,
      }))
    );
    const zeros = () => rows.inputIds.map(({ length }) => Array<number>(length - 1).fill(0));
    const scores: TokenScores = { logprobs: zeros(), entropy: zeros() };
    if (predicting.length === 0) return scores;

    const pass = this.gpu.record("logprobs");
    const hidden = this.forward(pass, batch);
    const head = new ScoreHead(this.arena, this.head, "score");
    const places = predicting.map(({ place }) => place);
    const targets = places.map((place) => ids[place + 1]);
    const { logprobs, entropy } = head.score(pass, { hidden, places, targets, temperature });
    pass.submit();
    const [lp, h] = await this.gpu.readAll([logprobs, entropy]);
    predicting.forEach(({ b, t }, n) => {
      scores.logprobs[b][t] = lp[n];
      scores.entropy[b][t] = h[n];
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
   * @throws {TypeError} If the model keeps matrices in 16 bits, which are only good for computing.
   */
  savePretrained(
    folder: string,
    { merged = false, ...options }: SaveOptions & { merged?: boolean } = {},
  ): Promise<void> {
    const { adapters } = this;
    if (this.halves) throw keptInHalves();
    if (adapters && !merged) return saveAdapters(this, adapters, folder, options);
    return saveCausalLM(this, folder, options);
  }

  /** Frees the model's memory. */
  [Symbol.dispose](): void {
    for (const tensors of this.#memory.owned) tensors.free(this.gpu);
    this.halves?.free(this.gpu);
    this.grads?.free(this.gpu);
    this.arena[Symbol.dispose]();
  }
}

function expectBlocks(frozen: number, { nLayer }: CausalLMConfig): void {
  if (Number.isSafeInteger(frozen) && frozen >= 0 && frozen <= nLayer) return;
  throw new RangeError(
    `Cannot freeze ${frozen} layers: the model has ${nLayer}; choose a number from 0 to ${nLayer}`,
  );
}
