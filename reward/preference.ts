import { type Reward, RewardError, type Sample, type Scores } from "./reward.ts";
import { type TextClassifier, truncatedPart } from "./text_classifier.ts";

/**
 * Scores by a preference model, such as the Bradley-Terry loss trains: the one number that it gives for prompt
 * and response together. Only differences of these mean something; `normaliseScores` brings them to a scale.
 *
 * It owns the model: disposing it disposes that.
 */
export class PreferenceReward implements Reward, Disposable {
  readonly name = "preference";
  readonly #model: TextClassifier;

  /**
   * Scores by a reward model's logit.
   *
   * @throws {RewardError} If the model does not have exactly one label.
   */
  constructor(model: TextClassifier) {
    if (model.labels.length !== 1) {
      throw new RewardError(
        `Cannot score preferences by the labels ${
          model.labels.join(", ")
        }: a preference model has ` +
          `one; use SentimentReward for a classifier`,
      );
    }
    this.#model = model;
  }

  /** (B) scores, without bounds. */
  async score(samples: readonly Sample[]): Promise<Scores> {
    const classes = await this.#model.classify(samples.map(({ text }) => text));
    return { scores: classes.map(({ logits }) => logits[0]!), parts: truncatedPart(classes) };
  }

  /** Disposes the model. */
  [Symbol.dispose](): void {
    this.#model[Symbol.dispose]?.();
  }
}
