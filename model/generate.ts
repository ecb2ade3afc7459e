import { decodeAdvance, LIVE, liveColumns, ofLive } from "../kernels/decode_state.ts";
import { gatherRows } from "../kernels/rows.ts";
import type { Pass, Tensor } from "../kernels/runtime/mod.ts";
import { sample } from "../kernels/sample.ts";
import type { CausalLM } from "./causal_lm.ts";
import { gpt2Decode, gpt2Forward, type KvCache } from "./gpt2.ts";
import { upload } from "./score.ts";
import { endedByStop, responseLength } from "./stop.ts";
import { padLeft, TokenRowsError } from "./token_batch.ts";

/** How to continue prompts. */
export interface GenerateOptions {
  /** Most tokens to add to each prompt. */
  maxNewTokens: number;
  /** Divides the logits (default 1). */
  temperature?: number;
  /** Sample among the k most likely tokens only; 0, the default, is off. */
  topK?: number;
  /** Sample among the fewest tokens that have this probability together; 1, the default, is off. */
  topP?: number;
  /** Take the most likely token instead of sampling. */
  greedy?: boolean;
  /** No row stops before it has this many new tokens (default 0). */
  minNewTokens?: number;
  /** Seed of the random numbers: the same seed, the same texts (default 0). */
  seed?: number;
  /** A second key beside the seed, such as the training step (default 0). */
  step?: number;
  /** Token ids that end a row (default: the model's end of text). */
  stop?: readonly number[];
}

/** Continuations, one a prompt. */
export interface Generation {
  /** The prompts' token ids. */
  promptIds: number[][];
  /** New token ids, the stop token included where one ended the row. */
  ids: number[][];
  /** The new tokens as text, special tokens left out. */
  texts: string[];
  /** Log-probability of each new token at the temperature, before top-k and top-p, in nats. */
  logprobs: number[][];
  /** Whether a stop token ended the row. */
  stopped: boolean[];
}

/** Tokens that are recorded into one submit, between two looks at which rows have finished. */
const BLOCK = 16;

/**
 * Continues a batch of prompts with a KV cache; sampling happens on the GPU. Rows that have finished are left out of what
 * follows, some at a time.
 *
 * One call at a time for each model: a call uses the model's memory until it resolves.
 *
 * @throws {TokenRowsError} If there are no prompts, one is empty, or one with its continuation is longer
 *   than the context.
 * @throws {RangeError} If an option is out of its range.
 */
export async function generate(
  model: CausalLM,
  prompts: readonly string[] | readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Generation> {
  const { gpu, config, tokenizer } = model;
  const promptIds = prompts.map((prompt) =>
    typeof prompt === "string" ? tokenizer.encode(prompt) : [...prompt]
  );
  checkSampling(options);
  checkPrompts(promptIds, options.maxNewTokens, config.nPositions);
  const stop = options.stop ?? [tokenizer.eosId];
  const decoding = startDecoding(model, promptIds, stop, options);

  let pass = gpu.record("generate");
  decoding.prefill(pass);
  for (let done = 1; done < options.maxNewTokens; done++) {
    if (done % BLOCK === 0) {
      pass.submit();
      pass = gpu.record("generate");
      if (await decoding.dropFinished() === 0) break;
    }
    decoding.next(pass);
  }
  pass.submit();

  const [tokens, logprobs] = await gpu.readAll([decoding.tokens, decoding.tokenLogprobs]);
  const { Q, columns } = decoding;
  const generation: Generation = { promptIds, ids: [], texts: [], logprobs: [], stopped: [] };
  promptIds.forEach((_, b) => {
    const from = b * columns + Q;
    const row = Array.from(tokens.subarray(from, from + options.maxNewTokens));
    const ids = row.slice(0, responseLength(row, stop));
    generation.ids.push(ids);
    generation.texts.push(tokenizer.decode(ids, { skipSpecialTokens: true }));
    generation.logprobs.push(Array.from(logprobs.subarray(from, from + ids.length)));
    generation.stopped.push(endedByStop(row, stop));
  });
  return generation;
}

/** What each sampling option takes. */
const SAMPLING = {
  temperature: [
    (x: number) => x > 0 && x < Infinity,
    "a number above 0; for the likeliest token use greedy",
  ],
  topK: [(x: number) => Number.isSafeInteger(x) && x >= 0, "a whole number of 0 or more"],
  topP: [(x: number) => x > 0 && x <= 1, "above 0 and at most 1"],
  minNewTokens: [(x: number) => Number.isSafeInteger(x) && x >= 0, "a whole number of 0 or more"],
  seed: [(x: number) => Number.isInteger(x) && x >= 0 && x < 2 ** 32, "a whole number below 2^32"],
  step: [(x: number) => Number.isInteger(x) && x >= 0 && x < 2 ** 32, "a whole number below 2^32"],
} as const;

function checkSampling(options: GenerateOptions): void {
  for (const [name, [allows, allowed]] of Object.entries(SAMPLING)) {
    const value = options[name as keyof typeof SAMPLING];
    if (value === undefined || allows(value)) continue;
    throw new RangeError(`Cannot generate with ${name} ${value}: it must be ${allowed}`);
  }
}

function checkPrompts(promptIds: number[][], maxNewTokens: number, nPositions: number): void {
  if (promptIds.length === 0) throw new TokenRowsError("Cannot generate: there are no prompts");
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1) {
    throw new TokenRowsError(
      `Cannot generate ${maxNewTokens} tokens: maxNewTokens must be at least 1`,
    );
  }
  promptIds.forEach((ids, index) => {
    if (ids.length === 0) {
      throw new TokenRowsError(
        `Cannot generate: prompt ${index} is empty; give it at least one token`,
      );
    }
    if (ids.length + maxNewTokens > nPositions) {
      throw new TokenRowsError(
        `Cannot generate: prompt ${index} has ${ids.length} tokens and is to get ${maxNewTokens} more, ` +
          `the model's context holds ${nPositions}; shorten the prompt or lower maxNewTokens`,
      );
    }
  });
}

/** A row that tokens are drawn for. */
type LiveRow = Record<typeof LIVE[number], number>;

/** Rows to go on with where `open` of `count` have not finished: some quarters of them, so that shapes are few. */
function roomFor(open: number, count: number): number {
  const quarter = Math.ceil(count / 4);
  return Math.min(count, quarter * Math.ceil(open / quarter));
}

/** The state of a generation on the GPU, and the two moves: the prompts, then one token at a time. */
function startDecoding(
  model: CausalLM,
  promptIds: number[][],
  stop: readonly number[],
  options: GenerateOptions,
) {
  const { gpu, config, arena, head } = model;
  const { maxNewTokens, seed = 0, step = 0 } = options;
  const padId = model.tokenizer.eosId;
  const padded = padLeft(promptIds, padId);
  const batch = model.upload(padded);
  const { lengths } = batch.sequences;
  const B = lengths.length;
  const Q = Math.max(...lengths);
  const columns = Q + maxNewTokens;

  const tokens = upload(
    arena,
    "decode.tokens",
    padded.inputIds.flatMap((row) => [...row, ...Array(maxNewTokens).fill(padId)]),
    "u32",
  ).view([B, columns]);
  const tokenLogprobs = arena.take("decode.tokenLogprobs", [B, columns]);
  const state = upload(arena, "decode.state", [Q, 0, seed >>> 0, step >>> 0], "u32");
  const position = upload(arena, "decode.position", [0], "u32");
  const last = lengths.map((length, b) => batch.host.starts[b] + length - 1);
  const lastPlaces = upload(arena, "decode.last", last, "u32");
  const first = upload(arena, "decode.first", lengths.map((length) => Q - length), "u32");
  const stopIds = upload(arena, "decode.stop", stop.length > 0 ? stop : [0xffffffff], "u32");
  const cache: KvCache = {
    layers: Array.from(
      { length: config.nLayer },
      (_, l) => arena.take(`decode.cache${l}`, [B, columns, 2 * config.nEmbd]),
    ),
    first,
    position,
  };

  const uploadLive = (rows: readonly LiveRow[]) => {
    const stride = liveColumns(rows.length);
    const numbers = LIVE.flatMap((name) =>
      Array.from({ length: stride }, (_, n) => rows[n]?.[name] ?? 0)
    );
    const tensor = upload(arena, "decode.live", numbers, "u32").view([LIVE.length, stride]);
    return { count: rows.length, tensor };
  };
  let live = uploadLive(
    lengths.map((length, row) => ({ row, position: length - 1, finished: 0, current: padId })),
  );
  const ofRows = (name: keyof LiveRow) => ofLive(live.tensor, name, live.count);

  const draw = (pass: Pass, hidden: Tensor) => {
    const next = arena.take("decode.next", [live.count], "u32");
    const logprobs = arena.take("decode.logprobs", [live.count]);
    for (const { from, to } of head.chunks(live.count)) {
      sample(pass, {
        logits: head.logits(pass, hidden.rows(from, to), "decode.logits"),
        rows: ofRows("row").rows(from, to),
        state,
        stopIds,
        next: next.rows(from, to),
        logprobs: logprobs.rows(from, to),
      }, {
        temperature: options.temperature ?? 1,
        topK: options.topK ?? 0,
        topP: options.topP ?? 1,
        greedy: options.greedy ?? false,
        minNewTokens: options.minNewTokens ?? 0,
      });
    }
    const book = {
      next,
      logprobs,
      stopIds,
      state,
      live: live.tensor,
      tokens,
      tokenLogprobs,
      position,
    };
    decodeAdvance(pass, book, { padId });
  };

  return {
    Q,
    columns,
    tokens,
    tokenLogprobs,
    /** Feeds the prompts and draws the first new token of each row. */
    prefill(pass: Pass): void {
      const hidden = gpt2Forward(model.context(pass), config, batch, { cache });
      const last = arena.take("decode.hidden.last", [B, config.nEmbd]);
      gatherRows(pass, { source: hidden, index: lastPlaces, out: last });
      draw(pass, last);
    },
    /** Feeds the newest token of each row and draws the one after it. */
    next(pass: Pass): void {
      const token = {
        ids: ofRows("current"),
        positions: ofRows("position"),
        rows: ofRows("row"),
      };
      draw(pass, gpt2Decode(model.context(pass), config, token, cache));
    },
    /** Goes on without rows that have finished, where these are many; says how many have not. */
    async dropFinished(): Promise<number> {
      const { count, tensor } = live;
      const numbers = await gpu.read(tensor);
      const rows = Array.from({ length: count }, (_, n) => {
        const of = LIVE.map((name, at) => [name, numbers[at * tensor.columnCount + n]]);
        return Object.fromEntries(of) as LiveRow;
      });
      const open = rows.filter(({ finished }) => finished === 0).length;
      const room = roomFor(open, count);
      if (open > 0 && room < count) {
        const openFirst = rows.toSorted((a, b) => a.finished - b.finished);
        live = uploadLive(openFirst.slice(0, room));
      }
      return open;
    },
  };
}
