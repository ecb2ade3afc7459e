import { type Reward, RewardError, type Sample, type Scores } from "./reward.ts";
import { type ClassifiedText, type TextClassifier, truncatedPart } from "./text_classifier.ts";

/** How {@linkcode SentimentReward} scores. */
export interface SentimentOptions {
  /** Score of a positive text, times the confidence (default 2). */
  positive?: number;
  /** Score of a negative text, times the confidence (default -0.5). */
  negative?: number;
  /** The label that is positive (default: told by its name). */
  positiveLabel?: string;
  /** What is classified (default `text`, since a response alone begins in the middle of a sentence). */
  of?: ClassifiedText;
}

/** It cannot be told which of a classifier's labels are positive and negative. */
export class RewardLabelError extends RewardError {
  /** The name of the class. */
  override name = "RewardLabelError";
}

/** Names that say what a label means, in lower case. */
const POSITIVE = ["positive", "pos"];
const NEGATIVE = ["negative", "neg"];

/**
 * Scores by a sentiment classifier:
 *
 *     +2.0 * confidence   where the positive label wins
 *     -0.5 * confidence   where the negative one does
 *      0                  where another does, such as neutral
 *
 * Praise is worth more than blame costs, so that the policy is drawn to it rather than pushed from everything.
 *
 * Which label is which, its name says, in any case: POSITIVE or POS, NEGATIVE or NEG. Of LABEL_0 and
 * LABEL_1, or 0 and 1, the names of classifiers that were saved without any, the second is positive.
 * `positiveLabel` names it else. Of two labels, the other one is negative.
 *
 * It owns the classifier: disposing it disposes that.
 */
export class SentimentReward implements Reward, Disposable {
  readonly name = "sentiment";
  readonly #classifier: TextClassifier;
  readonly #scoreOf: ReadonlyMap<string, number>;
  readonly #of: ClassifiedText;

  /**
   * Scores by a classifier of sentiment.
   *
   * @throws {RewardLabelError} If it cannot be told which label is positive and which negative.
   */
  constructor(
    classifier: TextClassifier,
    { positive = 2, negative = -0.5, positiveLabel = "", of = "text" }: SentimentOptions = {},
  ) {
    const poles = polesOf(classifier.labels, positiveLabel);
    this.#classifier = classifier;
    this.#scoreOf = new Map([[poles.positive, positive], [poles.negative, negative]]);
    this.#of = of;
  }

  /** (B) scores. */
  async score(samples: readonly Sample[]): Promise<Scores> {
    const classes = await this.#classifier.classify(samples.map((sample) => sample[this.#of]));
    const scores = classes.map(({ label, confidence }) =>
      confidence * (this.#scoreOf.get(label) ?? 0)
    );
    return { scores, parts: truncatedPart(classes) };
  }

  /** Disposes the classifier. */
  [Symbol.dispose](): void {
    this.#classifier[Symbol.dispose]?.();
  }
}

/** The positive and the negative one of a classifier's labels. */
function polesOf(
  labels: readonly string[],
  positiveLabel: string,
): { positive: string; negative: string } {
  const named = (names: readonly string[]) =>
    labels.find((label) => names.includes(label.toLowerCase()));
  const otherThan = (label: string | undefined) =>
    labels.length === 2 && label !== undefined
      ? labels.find((candidate) => candidate !== label)
      : undefined;
  const isNumbered = /^(label_)?0,(label_)?1$/i.test(labels.join());

  const positive = positiveLabel === ""
    ? named(POSITIVE) ?? otherThan(named(NEGATIVE)) ?? (isNumbered ? labels[1] : undefined)
    : labels.find((label) => label === positiveLabel);
  const negative = otherThan(positive) ?? named(NEGATIVE);
  if (positive !== undefined && negative !== undefined && positive !== negative) {
    return { positive, negative };
  }
  throw new RewardLabelError(
    `Cannot score sentiment by the labels ${
      labels.join(", ")
    }: it is not clear which one is positive ` +
      `and which negative; name the positive one of two with positiveLabel, or use labels POSITIVE ` +
      `and NEGATIVE`,
  );
}
