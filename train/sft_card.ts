import { basename } from "node:path";
import { parseHubName } from "../weights/hub_name.ts";
import { formatModelCard } from "./model_card.ts";
import { NEW } from "./model_source.ts";

/** What is known of supervised fine-tuning where its model is saved. */
export interface SftCardFacts {
  /** The flags, resolved. */
  readonly options: {
    readonly model: string;
    readonly data: string;
    readonly val?: string | undefined;
    readonly out: string;
    readonly loraRank?: number | undefined;
  };
  /** Where the model was found; see `findModel`. */
  readonly source: string;
  /** Optimizer steps, and tokens in them. */
  readonly steps: number;
  readonly tokens: number;
  /** Of the last step, nats per token. */
  readonly loss: number;
  /** What the last validation said. */
  readonly validation?: string | undefined;
}

/** The model card of a model that supervised fine-tuning trains. */
export function sftCard(
  { options, source, steps, tokens, loss, validation }: SftCardFacts,
): string {
  const isNew = options.model.startsWith(NEW);
  const name = isNew ? options.model.slice(NEW.length) : options.model;
  const { out: _path, ...settings } = options;
  const paths = {
    data: basename(options.data),
    ...(options.val && { val: basename(options.val) }),
  };
  return formatModelCard({
    title: `${basename(name.replace(/@.*$/, ""))}, fine-tuned on text`,
    summary:
      `${isNew ? `Random parameters with the sizes of ${name}` : name} after ${steps} steps of ` +
      "next-token cross-entropy by KL Guard.",
    // What is neither a folder nor a run in one came from the Hub.
    baseModel: isNew || source.startsWith(name) ? undefined : parseHubName(name)?.id,
    tags: ["sft"],
    isAdapter: (options.loraRank ?? 0) > 0,
    hasValueHead: false,
    training: {
      "base model": isNew ? `random parameters, sizes and tokenizer of ${name}` : name,
      text: basename(options.data),
      "steps, tokens": `${steps}, ${tokens}`,
    },
    figures: [
      `loss ${Number(loss.toPrecision(4))} nats per token in step ${steps}`,
      ...(validation === undefined ? [] : [validation]),
    ],
    settings: { ...settings, ...paths },
  });
}
