import type { TextCodec } from "../model/tokenizer.ts";
import { lengthBatches, sampleSources } from "./epoch_batches.ts";
import type { RewardExample } from "./reward_data.ts";
import { longest } from "./reward_trainer.ts";
import { Rng } from "./rng.ts";
import { wordNoise } from "./word_noise.ts";

/** What the epochs of a reward's training are made of. */
export interface RewardEpochsOptions {
  epochs: number;
  batchSize: number;
  /** Everything random in an epoch follows from it and the epoch's number. */
  seed: number;
  /** See {@linkcode sampleSources}. */
  share?: ReadonlyMap<string, number>;
  /** The first epochs, which have the weak examples too (default: all). */
  weakEpochs?: number;
  /** Probability that a word is hidden (default 0). */
  wordDropout?: number;
  /** Probability that a text is cut at both ends (default 0); see {@linkcode wordNoise}. */
  crop?: number;
  tokenizer: TextCodec;
}

/** The batches of each epoch, counted from 0; an epoch is the same at every call. */
export class RewardEpochs {
  /** Batches of all epochs. */
  readonly totalSteps: number;

  /** @throws {TokenizerError} If words are to be taken and the tokenizer cannot say what a word is. */
  constructor(
    readonly data: { trusted: readonly RewardExample[]; weak: readonly RewardExample[] },
    readonly options: RewardEpochsOptions,
  ) {
    const sizes = Array.from({ length: options.epochs }, (_, e) => this.#examples(e).length);
    this.totalSteps = sizes.reduce((sum, size) => sum + Math.ceil(size / options.batchSize), 0);
    this.#noise(0); // a tokenizer that cannot is refused here
  }

  batches(epoch: number): RewardExample[][] {
    const { batchSize, seed } = this.options;
    const noise = this.#noise(epoch);
    const examples = this.#examples(epoch)
      .map((example) => ({ ...example, rows: example.rows.map(noise) }));
    const rng = new Rng(seed, `order of epoch ${epoch}`);
    return lengthBatches(examples, { batchSize, lengthOf: longest, rng });
  }

  #examples(epoch: number): RewardExample[] {
    const { trusted, weak } = this.data;
    const { weakEpochs = Infinity, share: shares = new Map(), seed } = this.options;
    const rng = new Rng(seed, `sources of epoch ${epoch}`);
    return sampleSources([...trusted, ...(epoch < weakEpochs ? weak : [])], { shares, rng });
  }

  #noise(epoch: number): (ids: readonly number[]) => readonly number[] {
    const { wordDropout: dropout = 0, crop = 0, tokenizer, seed } = this.options;
    if (dropout === 0 && crop === 0) return (ids) => ids;
    return wordNoise(tokenizer, { dropout, crop, rng: new Rng(seed, `words of epoch ${epoch}`) });
  }
}
