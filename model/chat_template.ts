/** The chat template of a checkpoint: from messages to the text that its model was trained to answer. */

import type { Template } from "@huggingface/jinja";
import { isObject, showJson } from "../weights/json.ts";
import { parseTemplate, renderBounded } from "./bounded_jinja.ts";
import { parseTokenizerConfig } from "./tokenizer_definition.ts";
import type { TextCodec } from "./tokenizer.ts";

/** One message of a chat; other fields are given to the template as they are. */
export interface ChatMessage extends Readonly<Record<string, unknown>> {
  /** Who speaks: such as `system`, `user` or `assistant`, as far as the template knows it. */
  readonly role: string;
  /** What is said. */
  readonly content: string;
}

/** A checkpoint without a chat template, or messages that cannot be rendered with it. */
export class ChatTemplateError extends SyntaxError {
  /** The name of the class. */
  override name = "ChatTemplateError";
}

/** Renders messages as the checkpoint's model was trained on them. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;
  readonly #special: readonly string[];

  /**
   * Parses a template.
   *
   * @param source In Jinja.
   * @param tokens.named What the template may use, such as `eos_token`.
   * @param tokens.special Spellings that no message may have.
   * @throws {ChatTemplateError} If `source` cannot be parsed.
   */
  constructor(
    source: string,
    { named, special }: { named: Readonly<Record<string, string>>; special: readonly string[] },
  ) {
    try {
      this.#template = parseTemplate(source);
    } catch (cause) {
      throw new ChatTemplateError(
        `Cannot use the chat template ${
          showJson(source)
        }: it cannot be parsed; give a template for the records`,
        { cause },
      );
    }
    this.#tokens = named;
    this.#special = special;
  }

  /**
   * The text of a chat up to where the assistant's next message begins.
   *
   * Encode it with a tokenizer that takes the spelling of special tokens for the tokens. That is why no message may
   * spell one: it could end the prompt or speak for another role.
   *
   * @param messages Each an object with the texts `role` and `content`.
   * @throws {ChatTemplateError} If there are none, one is broken, or the template refuses them.
   */
  render(messages: unknown): string {
    if (!Array.isArray(messages) || messages.length === 0) {
      throw new ChatTemplateError("its messages are not a list of at least one; write some");
    }
    messages.forEach((message, index) => this.#check(message, index + 1));
    try {
      const variables = { ...this.#tokens, messages, add_generation_prompt: true };
      return renderBounded(this.#template, variables);
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : String(cause);
      throw new ChatTemplateError(
        `the model's chat template fails with ${showJson(problem)}; change the messages`,
        { cause },
      );
    }
  }

  #check(message: unknown, number: number): void {
    if (!isMessage(message)) {
      throw new ChatTemplateError(
        `message ${number} is not an object with the texts "role" and "content"; correct it`,
      );
    }
    const spelled = this.#special.find((token) =>
      Object.values(message).some((value) => typeof value === "string" && value.includes(token))
    );
    if (spelled === undefined) return;
    throw new ChatTemplateError(
      `message ${number} spells the special token ${showJson(spelled)}; remove it`,
    );
  }
}

/**
 * The chat template of a checkpoint: `chat_template.jinja`, or else what `tokenizer_config.json` holds.
 *
 * @param tokenizer The checkpoint's, with its files.
 * @param model What the model is called, for error messages.
 * @throws {ChatTemplateError} If there is none, or it cannot be parsed.
 */
export function chatTemplateOf(tokenizer: TextCodec, model: string): ChatTemplate {
  const { bosId, eosId, files, specialTokens } = tokenizer;
  const config = parseTokenizerConfig(files["tokenizer_config.json"], `the tokenizer of ${model}`);
  const jinja = files["chat_template.jinja"];
  const source = jinja ? new TextDecoder().decode(jinja) : sourceIn(config.chat_template);
  if (source === undefined) {
    throw new ChatTemplateError(
      `Cannot make prompts of messages for the model ${model}: it has no chat template; ` +
        "give a template for the records, or use a model made for chats",
    );
  }
  const ends = { bos_token: tokenizer.decode([bosId]), eos_token: tokenizer.decode([eosId]) };
  return new ChatTemplate(source, {
    named: { ...ends, ...namedTokens(config) },
    special: specialTokens,
  });
}

function isMessage(value: unknown): value is ChatMessage {
  return isObject(value) && typeof value.role === "string" && typeof value.content === "string";
}

/** A template, or the one called `default` of several. */
function sourceIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((entry) => isObject(entry) && entry.name === "default");
  return typeof named?.template === "string" ? named.template : undefined;
}

/** Spellings of all tokens that the configuration names, such as `pad_token`. */
function namedTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const token = isObject(value) ? value.content : value;
    if (key.endsWith("_token") && typeof token === "string") tokens[key] = token;
  }
  return tokens;
}
