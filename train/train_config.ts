/** All settings of a run; `config.ts` checks them and has the defaults. */
export interface TrainConfig {
  /** What is trained: a folder, run folder or Hub model; empty for weights/review-gpt2. */
  readonly model: string;
  /** What scores the responses. */
  readonly reward: string;
  /** Score of a positive text, times the classifier's confidence; a number from -100 to 100. */
  readonly positiveFactor: number;
  /** Score of a negative text, times the classifier's confidence; a number from -100 to 100. */
  readonly negativeFactor: number;
  /** The classifier's label that is positive; empty to tell it by its name. */
  readonly positiveLabel: string;
  /** What a classifier reads: prompt and response, or the response alone. */
  readonly classifiedText: "text" | "response";
  /** Ms that the scores of a batch may take; 0 for no limit; a whole number from 0 to 2147483647. */
  readonly rewardTimeout: number;
  /** Scale scores by the mean and deviation of all scores so far. */
  readonly normaliseScores: boolean;
  /** Scores are then multiplied by it; a number above 0. */
  readonly rewardScale: number;
  /** And then limited to this distance from 0; 0 for no limit; a number of 0 or more. */
  readonly rewardClip: number;
  /** A second reward, which scores evaluations only; empty for none. */
  readonly judge: string;
  /** File of prompts: lines, or JSONL of `prompt` or `messages`; empty for the built-in set. */
  readonly prompts: string;
  /** Jinja template that makes a prompt of a JSONL record. */
  readonly template: string;
  /** Take a special token that is spelled in a prompt for the token; always so in chats. */
  readonly specialTokens: boolean;
  /** Run folder; runs/<date>-<time> by default. */
  readonly out: string;
  /** PPO steps to take; a whole number of 1 or more. */
  readonly steps: number;
  /** Seed of everything random; a whole number from 0 to 4294967295. */
  readonly seed: number;
  /** Responses per PPO step; a whole number of 1 or more. */
  readonly batchSize: number;
  /** Responses per optimizer step; divides the batch size; a whole number of 1 or more. */
  readonly miniBatchSize: number;
  /** Pieces that a minibatch is computed in; saves memory, changes nothing else; a whole number of 1 or more. */
  readonly gradientAccumulation: number;
  /** Passes over each batch; a whole number of 1 or more. */
  readonly epochs: number;
  /** Most GPU memory that the run may take; empty for what the adapter has. */
  readonly memoryBudget: string;
  /** Highest learning rate of AdamW; a number of 0 or more. */
  readonly learningRate: number;
  /** How the learning rate goes on after the warm-up. */
  readonly lrSchedule: "constant" | "linear" | "cosine";
  /** PPO steps in which the learning rate rises; a whole number of 0 or more. */
  readonly warmupSteps: number;
  /** Decay of AdamW's first moment; a number of 0 or more and below 1. */
  readonly beta1: number;
  /** Decay of AdamW's second moment; a number of 0 or more and below 1. */
  readonly beta2: number;
  /** Added to the root of AdamW's second moment; a number above 0. */
  readonly adamEpsilon: number;
  /** Decoupled weight decay of AdamW; a number of 0 or more. */
  readonly weightDecay: number;
  /** Norm to which a larger gradient is scaled down; 0 for no limit; a number of 0 or more. */
  readonly maxGradNorm: number;
  /** First blocks that are not trained, with the embeddings; saves memory; 0 for none; a whole number of 0 or more. */
  readonly freezeLayers: number;
  /** How reference and classifiers keep their matrices; f16 takes half the memory. */
  readonly referenceDtype: "f32" | "f16";
  /** Rank of the adapters that are trained in place of the model; 0 for none; a whole number of 0 or more. */
  readonly loraRank: number;
  /** The adapters are scaled by this over their rank; a number above 0. */
  readonly loraAlpha: number;
  /** Layers that get an adapter, by commas; empty for all of attention and MLP. */
  readonly loraTargets: string;
  /** Also save the model with its adapters merged, in the run folder's merged/. */
  readonly saveMerged: boolean;
  /** Weight of the KL at the start (beta); a number of 0 or more. */
  readonly klCoef: number;
  /** KL to the reference that the controller holds, nats per token; a number above 0. */
  readonly klTarget: number;
  /** How the weight of the KL moves. */
  readonly klController: "band" | "proportional" | "fixed";
  /** Responses in which the proportional controller corrects an error; 50 x batch by default; a number above 0. */
  readonly klHorizon: number;
  /** What the band controller multiplies or divides by; a number above 1. */
  readonly klFactor: number;
  /** Lowest weight of the KL that a controller goes to; a number above 0. */
  readonly klMin: number;
  /** Highest weight of the KL that a controller goes to; a number above 0. */
  readonly klMax: number;
  /** Where the KL is charged: as a term of the loss, or per token in the reward. */
  readonly klMode: "loss" | "reward";
  /** KL per token: exact over the vocabulary, or an estimate from the sampled token. */
  readonly klEstimator: "full" | "k1" | "k2" | "k3" | "abs";
  /** How far the policy's ratio may move from 1; a number above 0. */
  readonly clipRange: number;
  /** How far a value may move from the old one; a number above 0. */
  readonly valueClipRange: number;
  /** Weight of the value loss; a number of 0 or more. */
  readonly valueCoef: number;
  /** Weight of the entropy bonus; a number of 0 or more. */
  readonly entropyCoef: number;
  /** Discount per token; a number from 0 to 1. */
  readonly gamma: number;
  /** Decay of generalised advantage estimation; a number from 0 to 1. */
  readonly lambda: number;
  /** Scale the batch's advantages to mean 0 and variance 1. */
  readonly whitenAdvantages: boolean;
  /** Tokens of prompt and response together, at most; a whole number of 2 or more. */
  readonly maxLength: number;
  /** Tokens of a response, at most; what maxLength leaves by default; a whole number of 1 or more. */
  readonly maxNewTokens?: number | undefined;
  /** Tokens before a response may end; a whole number of 0 or more. */
  readonly minNewTokens: number;
  /** The logits are divided by it; a number above 0. */
  readonly temperature: number;
  /** Sample from the most probable tokens only; 0 for all; a whole number of 0 or more. */
  readonly topK: number;
  /** Sample from the smallest set of tokens with this probability; a number above 0 and at most 1. */
  readonly topP: number;
  /** Watch the run, and act where it goes wrong. */
  readonly guard: boolean;
  /** What the guard does in place of a default: rule=action, with commas between. */
  readonly guardActions: string;
  /** Newest responses that the guard compares with the reference's own; a whole number of 2 or more. */
  readonly guardWindow: number;
  /** Steps in a row that may be skipped before the run ends; a whole number of 0 or more. */
  readonly guardSkips: number;
  /** Times that the run may go back to a checkpoint; a whole number of 0 or more. */
  readonly guardRollbacks: number;
  /** What a rollback multiplies the weight of the KL by; a number above 1. */
  readonly guardKlFactor: number;
  /** Log-ratio, in nats, that an unmoved policy may have; a number above 0. */
  readonly guardFirstRatio: number;
  /** Factor that the mean ratio may be away from 1; a number above 1. */
  readonly guardRatio: number;
  /** KL that is an explosion, nats per token; 10 x klTarget by default; a number above 0. */
  readonly guardKl?: number | undefined;
  /** Lowest entropy, as a share of the reference's; a number from 0 to 1. */
  readonly guardEntropy: number;
  /** Lowest distinct-2, as a share of the reference's; a number from 0 to 1. */
  readonly guardDistinct: number;
  /** Share of repeated word pairs above the reference's own; a number from 0 to 1. */
  readonly guardRepetition: number;
  /** Shortest mean response, as a share of the reference's; a number from 0 to 1. */
  readonly guardLength: number;
  /** Perplexity for the reference, in that of its own texts, up to which a score may rise; a number above 1. */
  readonly guardPerplexity: number;
  /** PPO steps between checkpoints; 0 for one at the end only; a whole number of 0 or more. */
  readonly saveEvery: number;
  /** Newest checkpoints that are kept, beside the best; 0 for all; a whole number of 0 or more. */
  readonly keep: number;
  /** Makes a checkpoint the best, by its mean since the one before. */
  readonly bestMetric: string;
  /** PPO steps between printed samples; 0 for none; a whole number of 0 or more. */
  readonly sampleEvery: number;
  /** Responses to held-out prompts in the before/after table; 0 for no table; a whole number of 0 or more. */
  readonly evalResponses: number;
  /** Seconds that the GPU may take before the run is ended; 0 for no limit; a number from 0 to 86400. */
  readonly gpuTimeout: number;
  /** Print JSON lines instead of text. */
  readonly json: boolean;
  /** Trackio server or Space that gets every step's metrics; empty for none. */
  readonly trackio: string;
  /** MLflow server that gets every step's metrics; empty for none. */
  readonly mlflow: string;
  /** What Trackio calls the project and MLflow the experiment. */
  readonly project: string;
}

/** The name of a setting. */
export type SettingName = keyof TrainConfig;
