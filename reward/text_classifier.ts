/** What a classifier says of one text. */
export interface TextClass {
  /** The label that wins. */
  label: string;
  /** Its probability. */
  confidence: number;
  /** (labels) before the softmax, in the order of the labels. */
  logits: readonly number[];
  /** Whether the text was too long, and its end was not read. */
  truncated?: boolean;
}

/** What {@linkcode SentimentReward} and {@linkcode PreferenceReward} need of a model; a `SequenceClassifier` has it. */
export interface TextClassifier {
  /** The labels' names, in the order of the logits: `id2label` of the model's config. */
  readonly labels: readonly string[];
  /** One answer per text, in the order of the texts. */
  classify(texts: readonly string[]): Promise<readonly TextClass[]>;
  /** Frees the model. */
  [Symbol.dispose]?(): void;
}

/** What of a sample a classifier reads: prompt and response as they read together, or the response alone. */
export type ClassifiedText = "text" | "response";

/** For the metric `rewards/truncated/mean`, the share of texts that were too long; nothing where it is not known. */
export function truncatedPart(classes: readonly TextClass[]): Record<string, number[]> {
  if (classes.some(({ truncated }) => truncated === undefined)) return {};
  return { truncated: classes.map(({ truncated }) => Number(truncated)) };
}
