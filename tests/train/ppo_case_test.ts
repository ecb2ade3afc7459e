/** The host's part of one PPO step, end to end, against a worked case and a PyTorch golden. */
import { assertEquals } from "@std/assert";
import golden from "../fixtures/gpt2/ppo.json" with { type: "json" };
import { assertClose } from "../helpers/close.ts";
import { policyLoss } from "../reference/policy_loss.ts";
import { valueLoss } from "../reference/value_loss.ts";
import { gae } from "../../train/gae.ts";
import { tokenRewards } from "../../train/rewards.ts";
import { maskedRowSums, maskedValues } from "../../train/rows.ts";
import { explainedShare, maskedMean, mean, variance } from "../../train/stats.ts";
import { whiten } from "../../train/whiten.ts";

const DECIMALS = { atol: 5e-9 }; // the case is worked out to 8 decimals

/** Rows of two and four tokens in one padded batch; NaN shows that padding is never looked at. */
const padded = (long: number[], short: number[]) => [long, [...short, NaN, NaN]];

Deno.test("a PPO step agrees with the worked case", () => {
  const mask = [[1, 1, 1, 1], [1, 1, 0, 0]];
  const logprobs = padded([-1, -2, -.5, -1.5], [-.7, -1.2]);
  const refLogprobs = padded([-1.1, -1.7, -.9, -1.5], [-.6, -1.4]);
  const values = padded([.1, .2, .3, .4], [-.1, .05]);
  const scores = [1.5, -.5];
  const beta = 0.2;
  const inside = (rows: number[][]) => maskedValues(rows, mask);

  const kl = logprobs.map((row, b) => row.map((logprob, t) => logprob - refLogprobs[b][t]));
  const penalties = maskedRowSums(kl, mask).map((sum) => -beta * sum);
  assertClose([mean(maskedRowSums(kl, mask))], [.15], DECIMALS, "objective/kl");
  assertClose([mean(penalties)], [-.03], DECIMALS, "non-score reward of a response");
  assertClose([-beta * maskedMean(kl, mask)], [-.01], DECIMALS, "non-score reward of a token");

  const rewards = tokenRewards({ scores, kl, beta, mask });
  assertClose(inside(rewards), [-.02, .06, -.08, 1.5, .02, -.54], DECIMALS, "rewards");

  const { advantages, returns } = gae({ rewards, values, mask }, { gamma: 1, lambda: .95 });
  assertClose(
    inside(advantages),
    [1.1931625, 1.17175, 1.065, 1.1, -.3905, -.59],
    DECIMALS,
    "advantages",
  );
  assertClose(
    inside(returns),
    [1.2931625, 1.37175, 1.365, 1.5, -.4905, -.54],
    DECIMALS,
    "returns",
  );
  const whitened = whiten(advantages, mask);
  assertClose(
    inside(whitened),
    [.71479364, .68935202, .56251523, .60410106, -1.16686135, -1.40390060],
    DECIMALS,
    "whitened",
  );

  const newLogprobs = padded([-.9, -1.6, -.45, -1.5], [-1.1, -.9]);
  const newValues = padded([.4, .15, .9, .5], [-.4, .1]);
  const policy = policyLoss({
    logprobs: newLogprobs.flat(),
    oldLogprobs: logprobs.flat(),
    advantages: whitened.flat(),
    mask: mask.flat(),
  }, { clipRange: .2 });
  const value = valueLoss({
    values: newValues.flat(),
    oldValues: values.flat(),
    returns: returns.flat(),
    mask: mask.flat(),
  }, { clipRange: .2 });
  assertClose(
    [policy.loss, policy.clipFraction, policy.approxKl, policy.policyKl],
    [.00265134, .33333333, .03520833, -.075],
    DECIMALS,
    "policy loss and statistics",
  );
  assertClose(
    [value.loss, value.clipFraction, value.error],
    [.38943001, .5, .65407126],
    DECIMALS,
    "value loss and statistics",
  );
  assertClose([policy.loss + .1 * value.loss], [.04159434], DECIMALS, "total");

  const total = variance(inside(returns));
  const residuals = inside(returns).map((R, n) => R - inside(values)[n]); // of the rollout
  assertClose([mean(inside(returns)), total], [.74990208, .96505275], DECIMALS, "returns");
  assertClose(
    [explainedShare(value.error, total), explainedShare(variance(residuals), total + 1e-5)],
    [.32224300, .26601072],
    DECIMALS,
    "explained variance in both forms",
  );
});

Deno.test("rewards, advantages and whitening agree with PyTorch on a tiny GPT-2", () => {
  const { scores, beta, gamma, lambda } = golden;
  const mask = golden.response_mask;
  const F32 = { atol: 2e-6, rtol: 2e-6 }; // the golden was computed in f32: sums of 7 terms near 1
  const rewards = tokenRewards({ scores, kl: golden.kl_full, beta, mask });
  const { advantages, returns } = gae(
    { rewards, values: golden.old_values, mask },
    { gamma, lambda },
  );
  const inside = (rows: number[][]) => maskedValues(rows, mask);
  assertClose(inside(rewards), inside(golden.rewards), F32, "rewards");
  assertClose(inside(advantages), inside(golden.advantages), F32, "advantages");
  assertClose(inside(returns), inside(golden.returns), F32, "returns");
  assertClose(inside(whiten(advantages, mask)), inside(golden.whitened), F32, "whitened");
});

Deno.test("the first policy loss is 0 when the advantages are whitened and nothing has moved", () => {
  const [old, mask, whitened] = [golden.old_logprobs, golden.response_mask, golden.whitened];
  const { loss, ratioMean, ratioMax, clipFraction } = policyLoss({
    logprobs: old.flat(),
    oldLogprobs: old.flat(),
    advantages: whitened.flat(),
    mask: mask.flat(),
  }, { clipRange: golden.clip_range });
  assertClose([loss], [golden.epochs[0].policy_loss], { atol: 1e-7 }); // whitened in f32
  assertEquals([ratioMax, clipFraction], [1, 0]);
  assertClose([ratioMean], [1], { atol: 1e-12 });
});
