/** What a reward is trained on: labelled texts, or pairs of which one is preferred; read, checked, encoded. */

import { showJson } from "../weights/json.ts";
import { JsonLinesError, readJsonLines } from "../weights/jsonl.ts";
import { TextDataError } from "./text_data.ts";

/** One record of a file. */
export interface RewardRecord {
  /** The text; or of two answers, each after its prompt, the better and then the worse. */
  texts: readonly string[];
  /** The name of the text's label or its number; the pair's is 0, its first text. */
  label: string | number;
  /** Where it comes from; empty where the file does not say. */
  source: string;
  /** Its line in the file, counted from 1. */
  line: number;
}

/** The content of a file, all of one kind. */
export interface RewardData {
  /** Path of the file. */
  file: string;
  /** Labelled texts, or pairs of which one is preferred. */
  kind: "labels" | "pairs";
  /** In the order of the file. */
  records: readonly RewardRecord[];
}

/** A record as token ids. */
export interface RewardExample {
  /** The ids of each text: of one, or of the better and the worse. */
  rows: readonly (readonly number[])[];
  /** Index among the model's labels; of a pair 0. */
  label: number;
  /** Factor of its loss, 1 for data that is trusted. */
  weight: number;
  /** Where it comes from; empty where the file does not say. */
  source: string;
}

/** What turns texts into ids; a `SequenceClassifier` is one. */
export interface TextEncoder {
  /** Token ids of a text; only its beginning, where it is too long for the model. */
  encode(text: string): { ids: readonly number[]; truncated: boolean };
  /** The model's labels. */
  readonly labels: readonly string[];
}

/**
 * Reads JSON lines of `{text, label, source?}` or of `{prompt?, chosen, rejected, source?}`; the first record
 * says which. A prompt stands before both answers as it is, without a space between.
 *
 * @throws {JsonLinesError} If the file is missing or a line is broken, with its number and the reason.
 * @throws {TextDataError} If there are no records.
 */
export async function readRewardData(file: string): Promise<RewardData> {
  const lines = await readJsonLines(file);
  if (lines.length === 0) {
    throw new TextDataError(`Cannot train on ${file}: it is empty; write one JSON object a line`);
  }
  const [{ record: first }] = lines;
  const kind = "chosen" in first || "rejected" in first ? "pairs" : "labels";
  const records = lines.map(({ record, line }) => {
    const fields = new Fields(record, { file, line });
    return { ...(kind === "pairs" ? fields.pair() : fields.labelled()), line };
  });
  return { file, kind, records };
}

/** The fields of one record, checked. */
class Fields {
  constructor(
    readonly record: Readonly<Record<string, unknown>>,
    readonly at: { file: string; line: number },
  ) {}

  labelled(): Omit<RewardRecord, "line"> {
    const { label } = this.record;
    const named = typeof label === "string" && label !== "";
    if (!named && !(Number.isSafeInteger(label) && (label as number) >= 0)) {
      throw this.#wrong("label", "a label's name, or its number counted from 0");
    }
    const texts = [this.#text("text")];
    return { texts, label: label as string | number, source: this.#text("source", "") };
  }

  pair(): Omit<RewardRecord, "line"> {
    const [chosen, rejected] = [this.#text("chosen"), this.#text("rejected")];
    if (chosen === rejected) {
      const problem = '"chosen" and "rejected" are the same text; remove the pair, it says nothing';
      throw new JsonLinesError(problem, this.at);
    }
    const prompt = this.#text("prompt", "");
    const texts = [prompt + chosen, prompt + rejected];
    return { texts, label: 0, source: this.#text("source", "") };
  }

  #text(key: string, fallback?: string): string {
    const value = this.record[key] ?? fallback;
    if (typeof value === "string") return value;
    throw this.#wrong(key, "a text");
  }

  #wrong(key: string, allowed: string): JsonLinesError {
    const value = key in this.record ? showJson(this.record[key]) : "missing";
    return new JsonLinesError(`"${key}" is ${value}, it must be ${allowed}`, this.at);
  }
}

/**
 * Encodes records for a model.
 *
 * @param weight Factor of each example's loss.
 * @returns The examples, and how many texts were longer than the model's context and cut.
 * @throws {JsonLinesError} If a label is none of the model's.
 */
export function encodeRecords(
  { file, records }: RewardData,
  model: TextEncoder,
  weight = 1,
): { examples: RewardExample[]; truncated: number } {
  let truncated = 0;
  const encode = (text: string) => {
    const encoded = model.encode(text);
    if (encoded.truncated) truncated++;
    return encoded.ids;
  };
  const examples = records.map(({ texts, label, source, line }) => ({
    rows: texts.map(encode),
    label: indexOf(label, model.labels, { file, line }),
    weight,
    source,
  }));
  return { examples, truncated };
}

function indexOf(
  label: string | number,
  labels: readonly string[],
  at: { file: string; line: number },
): number {
  const index = typeof label === "number" ? label : labels.indexOf(label);
  if (index in labels) return index;
  const problem = `its label is ${showJson(label)}, those of the model are ${labels.join(", ")}`;
  throw new JsonLinesError(`${problem}; correct it, or name all labels with --labels`, at);
}

/**
 * Checks that there is something to learn from and, of labelled data, something to tell apart.
 *
 * @throws {TextDataError} If there are no records, or every one has the same label.
 */
export function expectClasses({ file, kind, records }: RewardData): void {
  if (records.length === 0) {
    throw new TextDataError(
      `Cannot train on ${file}: nothing is left of it beside what is held out; add data`,
    );
  }
  const [{ label: first }] = records;
  if (kind === "pairs" || records.some(({ label }) => label !== first)) return;
  throw new TextDataError(
    `Cannot train on ${file}: every text has the label ${showJson(first)}; ` +
      "add texts of another one",
  );
}

/** The same examples with weights under which every label counts alike; the mean weight stays. */
export function balanceLabels(examples: readonly RewardExample[]): RewardExample[] {
  const counts = new Map<number, number>();
  for (const { label } of examples) counts.set(label, (counts.get(label) ?? 0) + 1);
  const even = examples.length / counts.size;
  return examples.map((example) => ({
    ...example,
    weight: example.weight * even / counts.get(example.label)!,
  }));
}
