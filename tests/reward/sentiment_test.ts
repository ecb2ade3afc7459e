import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PreferenceReward } from "../../reward/preference.ts";
import { RewardError, scoreSamples } from "../../reward/reward.ts";
import { RewardLabelError, SentimentReward } from "../../reward/sentiment.ts";
import type { TextClass } from "../../reward/text_classifier.ts";
import { samplesOf } from "../helpers/samples.ts";

/** A classifier that takes its answers from a table, and remembers what it was asked. */
function classifierOf(labels: readonly string[], answers: Record<string, Partial<TextClass>> = {}) {
  const asked: string[] = [];
  let disposed = 0;
  return {
    labels,
    asked,
    disposed: () => disposed,
    classify(texts: readonly string[]) {
      asked.push(...texts);
      const common = { label: labels[0]!, confidence: 0.5, logits: labels.map(() => 0) };
      return Promise.resolve(texts.map((text) => ({ ...common, ...answers[text] })));
    },
    [Symbol.dispose]: () => void disposed++,
  };
}

const ANSWERS = {
  "It was good": { label: "POSITIVE", confidence: 0.75 },
  "It was bad": { label: "NEGATIVE", confidence: 0.5 },
  "It was so-so": { label: "NEUTRAL", confidence: 1 },
};
const SAMPLES = samplesOf(" good", " bad", " so-so");

Deno.test("SentimentReward weighs the winning label's confidence by its factor", async () => {
  const classifier = classifierOf(["NEGATIVE", "NEUTRAL", "POSITIVE"], ANSWERS);
  assertEquals(await scoreSamples(new SentimentReward(classifier), SAMPLES), {
    scores: [2 * 0.75, -0.5 * 0.5, 0],
    parts: {},
  });
  const reward = new SentimentReward(classifier, { positive: 1, negative: -4 });
  assertEquals((await reward.score(SAMPLES)).scores, [0.75, -2, 0]);
});

Deno.test("SentimentReward reads prompt and response together, or the response alone", async () => {
  const classifier = classifierOf(["NEGATIVE", "POSITIVE"]);
  await new SentimentReward(classifier).score(SAMPLES.slice(0, 1));
  await new SentimentReward(classifier, { of: "response" }).score(SAMPLES.slice(0, 1));
  assertEquals(classifier.asked, ["It was good", " good"]);
});

Deno.test("SentimentReward tells how many texts were cut", async () => {
  const answers = {
    "It was good": { truncated: true },
    "It was bad": { truncated: false },
    "It was so-so": { truncated: false },
  };
  const classifier = classifierOf(["NEGATIVE", "POSITIVE"], answers);
  const { parts } = await scoreSamples(new SentimentReward(classifier), SAMPLES);
  assertEquals(parts, { truncated: [1, 0, 0] });
});

for (
  const [labels, positiveLabel, poles] of [
    ["NEGATIVE POSITIVE", "", "POSITIVE NEGATIVE"],
    ["Positive negative", "", "Positive negative"],
    ["neg pos", "", "pos neg"],
    ["POS other", "", "POS other"],
    ["other NEG", "", "other NEG"],
    ["LABEL_0 LABEL_1", "", "LABEL_1 LABEL_0"],
    ["0 1", "", "1 0"],
    ["negative neutral positive", "", "positive negative"],
    ["bad good", "good", "good bad"],
    ["LABEL_0 LABEL_1", "LABEL_0", "LABEL_0 LABEL_1"],
    ["NEGATIVE POSITIVE", "NEGATIVE", "NEGATIVE POSITIVE"],
    ["negative neutral cheerful", "cheerful", "cheerful negative"],
  ] as const
) {
  const given = positiveLabel === "" ? "" : `, given ${positiveLabel}`;
  Deno.test(`SentimentReward tells the poles of ${labels}${given}`, async () => {
    const [positive, negative] = poles.split(" ") as [string, string];
    const answers = { a: { label: positive }, b: { label: negative } };
    const classifier = classifierOf(labels.split(" "), answers);
    const reward = new SentimentReward(classifier, { positiveLabel, of: "response" });
    assertEquals((await reward.score(samplesOf("a", "b"))).scores, [1, -0.25]);
  });
}

for (
  const [labels, positiveLabel] of [
    ["bad good", ""],
    ["LABEL_0 LABEL_1 LABEL_2", ""],
    ["negative neutral cheerful", ""],
    ["one two positive", ""],
    ["POSITIVE", ""],
    ["NEGATIVE POSITIVE", "positive"],
    ["negative neutral positive", "negative"],
  ] as const
) {
  Deno.test(`SentimentReward refuses labels ${labels}, given "${positiveLabel}"`, () => {
    const classifier = classifierOf(labels.split(" "));
    const { message } = assertThrows(
      () => new SentimentReward(classifier, { positiveLabel }),
      RewardLabelError,
    );
    assertStringIncludes(message, `by the labels ${labels.replaceAll(" ", ", ")}: it is not clear`);
  });
}

Deno.test("PreferenceReward is the model's one number for prompt and response", async () => {
  const model = classifierOf(["LABEL_0"], {
    "It was good": { logits: [3.5], truncated: false },
    "It was bad": { logits: [-12], truncated: true },
  });
  assertEquals(await scoreSamples(new PreferenceReward(model), SAMPLES.slice(0, 2)), {
    scores: [3.5, -12],
    parts: { truncated: [0, 1] },
  });
  assertThrows(
    () => new PreferenceReward(classifierOf(["NEGATIVE", "POSITIVE"])),
    RewardError,
    "a preference model has one",
  );
});

Deno.test("SentimentReward and PreferenceReward dispose their model", () => {
  for (
    const [Kind, labels] of [[SentimentReward, ["0", "1"]], [PreferenceReward, ["0"]]] as const
  ) {
    const model = classifierOf(labels);
    {
      using _ = new Kind(model);
    }
    assertEquals(model.disposed(), 1);
  }
});
