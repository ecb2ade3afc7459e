import { assertEquals } from "@std/assert";
import { loadSequenceClassifier } from "../../model/sequence_classifier_weights.ts";
import { padLeft, padRight } from "../../model/token_batch.ts";
import {
  assertGradients,
  classifierGolden,
  DISTILBERT,
  meanCrossEntropy,
} from "../helpers/classifiers.ts";
import { assertClose } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";

const NAMES = { prefix: "distilbert.", heads: /^(pre_)?classifier\./ };

/** Both sides round in float32 through two layers; the logits are about 0.2. */
const ROUNDING = { atol: 2e-6 };

Deno.test("classify() agrees with transformers: ids, logits, probabilities, the empty and the odd texts too", () =>
  withGpu(async (gpu) => {
    using model = await loadSequenceClassifier(gpu, DISTILBERT);
    const golden = await classifierGolden(DISTILBERT);
    assertEquals(model.labels, ["NEGATIVE", "POSITIVE"]);
    assertEquals(golden.texts.map((text) => model.encode(text).ids), golden.ids);
    const results = await model.classify(golden.texts);
    const values = <T>(pick: (result: typeof results[0]) => T) => results.map(pick);
    assertClose(values(({ logits }) => logits).flat(), golden.logits.flat(), ROUNDING);
    const probabilities = values(({ probabilities }) => probabilities);
    assertClose(probabilities.flat(), golden.probabilities.flat(), ROUNDING);
    const rewards = values(({ label, confidence }) =>
      confidence * (label === "POSITIVE" ? 2 : -0.5)
    );
    assertClose(rewards, golden.reward, ROUNDING);
    const { nPositions } = model.config.trunk;
    assertEquals(
      values(({ truncated }) => truncated),
      golden.ids.map(({ length }) => length === nPositions),
    );
  }));

for (const [side, pad] of Object.entries({ left: padLeft, right: padRight })) {
  Deno.test(`gradients of the cross-entropy agree with PyTorch, padded on the ${side}`, () =>
    withGpu(async (gpu) => {
      using model = await loadSequenceClassifier(gpu, DISTILBERT, { train: true });
      const golden = await classifierGolden(DISTILBERT);
      const loss = await meanCrossEntropy(model, {
        rows: pad(golden.ids, 0),
        targets: golden.labels,
      });
      assertClose([loss], [golden.cross_entropy], ROUNDING);
      // Gradients are up to 0.3 and add up over 200 tokens in another order; those of the keys' biases are zero.
      await assertGradients(model, {
        path: `${DISTILBERT}/gradients.safetensors`,
        names: NAMES,
        tolerance: { atol: 1e-7, rtol: 1e-4 },
      });
    }));
}
