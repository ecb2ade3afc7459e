/** Prompts: the built-in sets, files of them, and the endless shuffled sequence that training takes. */

import { extname } from "node:path";
import { type ChatTemplate, ChatTemplateError } from "../model/chat_template.ts";
import type { JsonError } from "../weights/errors.ts";
import { isObject, parseJson } from "../weights/json.ts";
import { Rng } from "./rng.ts";
import { isSystemError, systemProblem } from "./system_error.ts";
import { compileTemplate, type Render, TemplateError } from "./template.ts";

/** Openings of reviews to train on. The first eight are those of the project's original. */
export const TRAINING_PROMPTS: readonly string[] = [
  "The movie was",
  "This book is",
  "I feel that",
  "The experience was",
  "In my opinion",
  "This product is",
  "My thoughts on",
  "Overall, it was",
  "The acting was",
  "The story is",
  "The plot was",
  "The director has",
  "The characters are",
  "The script is",
  "The ending was",
  "The best part of",
  "After watching this film",
  "If you like",
  "I bought this",
  "This camera is",
  "The sound quality is",
  "The picture quality",
  "The battery life",
  "Compared with the others",
];

/** Openings that training never sees, for the comparison before and after. */
export const HELD_OUT_PROMPTS: readonly string[] = [
  "I think this product is",
  "My experience at the restaurant was",
  "The customer service was",
  "The film is",
  "The music was",
  "The performances are",
  "The dialogue is",
  "The first half of",
  "What surprised me was",
  "This phone has",
  "The screen is",
  "For the price",
];

/** A file of prompts that cannot be used. */
export class PromptError extends RangeError {
  /** The name of the class. */
  override name = "PromptError";
  /** Path of the file. */
  readonly file: string;
  /** Counted from 1, where it is one line's fault. */
  readonly line: number | undefined;

  /** An error of a file, or of one line in it. */
  constructor(message: string, at: { file: string; line?: number; cause?: unknown }) {
    super(message, { cause: at.cause });
    this.file = at.file;
    this.line = at.line;
  }
}

/** Makes a prompt of a record where no template is given. */
const DEFAULT_TEMPLATE = "{{ prompt }}";

/** How the records of a file become prompts. */
export interface PromptOptions {
  /** Jinja template for the records of a JSONL file; by default their `messages` or their `prompt` count. */
  template?: string;
  /** Gives the model's chat template; called where records have `messages` and there is no other template. */
  chatTemplate?: () => Promise<ChatTemplate>;
}

/** The prompts of a file. */
export interface Prompts {
  /** In the order of the file. */
  readonly texts: readonly string[];
  /** Whether a special token that is spelled in them is meant, as in what a chat template makes. */
  readonly specialTokens: boolean;
}

/**
 * Reads prompts from a file: one a line, or JSON Lines where its name ends in `.jsonl`. Blank lines
 * are skipped, and white space around a prompt is removed, but for what a chat template makes: after
 * a space at its end GPT-2 would have to begin in the middle of a word.
 *
 * Where the first record has `messages`, all must: a chat each, up to the assistant's next message.
 *
 * @throws {PromptError} If there is no such file, a line is broken, a record lacks what the template
 * uses, a prompt is empty, or there are none.
 * @throws {TemplateError} If the template cannot be parsed.
 * @throws {ChatTemplateError} If messages need a chat template and the model has none.
 */
export async function loadPrompts(path: string, options: PromptOptions = {}): Promise<Prompts> {
  const { template = "", chatTemplate } = options;
  const isJsonl = extname(path).toLowerCase() === ".jsonl";
  if (template !== "" && !isJsonl) {
    const problem = "a template needs records; use a file of JSON lines whose name ends in .jsonl";
    throw unusable(problem, { file: path });
  }
  const lines = (await readText(path)).split("\n")
    .map((text, index) => ({ text, at: { file: path, line: index + 1 } }))
    .filter(({ text }) => text.trim() !== "");
  if (lines.length === 0) throw unusable("it has no prompts; write one a line", { file: path });
  if (!isJsonl) return { texts: lines.map(({ text }) => text.trim()), specialTokens: false };

  const records = lines.map(({ text, at }) => ({ record: parseRecord(text, at), at }));
  const isChat = template === "" && "messages" in records[0].record;
  const render = isChat
    ? await chatRender(path, chatTemplate)
    : compileTemplate(template || DEFAULT_TEMPLATE);
  const texts = records.map(({ record, at }) => {
    const text = renderRecord(render, record, at);
    return isChat ? text : text.trim();
  });
  const empty = texts.findIndex((text) => text.trim() === "");
  if (empty < 0) return { texts, specialTokens: isChat };
  throw unusable("its prompt is empty; give it at least one word", records[empty].at);
}

async function readText(file: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(file));
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw unusable("there is no such file; check the path", { file, cause });
    }
    if (cause instanceof TypeError) {
      throw unusable("it is not UTF-8 text; save it as UTF-8", { file, cause });
    }
    if (isSystemError(cause)) {
      throw unusable(`${systemProblem(cause)}; give a file that can be read`, { file, cause });
    }
    throw cause;
  }
}

function parseRecord(text: string, at: { file: string; line: number }): Record<string, unknown> {
  let record: unknown;
  try {
    record = parseJson(text);
  } catch (cause) {
    const problem = (cause as JsonError).message.replace("line 1, ", ""); // of the one that was parsed
    throw unusable(`${problem}; write one JSON object a line`, { ...at, cause });
  }
  if (isObject(record)) return record;
  throw unusable(`it is not a JSON object; write one a line`, at);
}

/** Renders the messages of records. */
async function chatRender(
  file: string,
  chatTemplate: PromptOptions["chatTemplate"],
): Promise<Render> {
  const template = await chatTemplate?.();
  if (template !== undefined) return ({ messages }) => template.render(messages);
  throw unusable("its records have messages; give a template for them", { file });
}

function renderRecord(
  render: Render,
  record: Record<string, unknown>,
  at: { file: string; line: number },
): string {
  try {
    return render(record);
  } catch (cause) {
    if (!(cause instanceof TemplateError || cause instanceof ChatTemplateError)) throw cause;
    throw unusable(cause.message, { ...at, cause });
  }
}

function unusable(
  problem: string,
  at: { file: string; line?: number; cause?: unknown },
): PromptError {
  const where = at.line === undefined ? at.file : `${at.file}, line ${at.line}`;
  return new PromptError(`Cannot use the prompts in ${where}: ${problem}`, at);
}

/** How far a sequence of batches has come, ready for JSON. */
export interface PromptPosition {
  /** Times that all prompts have been given out. */
  readonly epoch: number;
  /** Prompts of this epoch that have been given out. */
  readonly index: number;
}

/**
 * An endless sequence of batches of prompts: all of them in random order, then again in another.
 *
 * The order of an epoch depends on the seed and the epoch only, so that a position is enough to
 * go on exactly. A batch may reach into the next epoch, or hold a prompt twice where there are few.
 */
export class PromptBatches {
  readonly #prompts: readonly string[];
  readonly #batchSize: number;
  readonly #seed: number;
  #epoch = 0;
  #index = 0;
  #order: readonly string[] = [];

  /**
   * @param options.position Where to go on; the beginning, when absent.
   * @throws {RangeError} If there are no prompts, or the position is not one of this sequence.
   */
  constructor(
    prompts: readonly string[],
    { batchSize, seed, position = { epoch: 0, index: 0 } }: {
      batchSize: number;
      seed: number;
      position?: PromptPosition;
    },
  ) {
    if (prompts.length === 0) throw new RangeError("Cannot make batches: there are no prompts");
    this.#prompts = prompts;
    this.#batchSize = batchSize;
    this.#seed = seed;
    this.position = position;
  }

  /** Where the next batch begins; setting one that is not of this sequence throws a {@linkcode RangeError}. */
  get position(): PromptPosition {
    return { epoch: this.#epoch, index: this.#index };
  }

  set position({ epoch, index }: PromptPosition) {
    const prompts = this.#prompts;
    if (!(Number.isInteger(epoch) && epoch >= 0 && Number.isInteger(index) && index in prompts)) {
      throw new RangeError(
        `Cannot go on at prompt ${index} of epoch ${epoch}: there are ${prompts.length} prompts; ` +
          "use the prompts that the run began with",
      );
    }
    this.#epoch = epoch;
    this.#index = index;
    this.#order = this.#shuffled();
  }

  /** The next `batchSize` prompts. */
  next(): string[] {
    return Array.from({ length: this.#batchSize }, () => this.#nextPrompt());
  }

  #nextPrompt(): string {
    const prompt = this.#order[this.#index]!;
    this.#index++;
    if (this.#index === this.#order.length) {
      this.#index = 0;
      this.#epoch++;
      this.#order = this.#shuffled();
    }
    return prompt;
  }

  #shuffled(): string[] {
    return new Rng(this.#seed, `prompts of epoch ${this.#epoch}`).shuffle(this.#prompts);
  }
}
