import { assertEquals, assertRejects } from "@std/assert";
import { tokenLogprobsBackward, tokenLogprobsForward } from "../../kernels/token_logprobs.ts";
import { Profiler } from "../../kernels/runtime/mod.ts";
import { parseGpt2Config } from "../../model/config.ts";
import { initCausalLM, loadCausalLM } from "../../model/gpt2_weights.ts";
import { upload } from "../../model/score.ts";
import { placeOf, TokenRowsError } from "../../model/token_batch.ts";
import { readTokenizer } from "../../model/tokenizer.ts";
import { Rng } from "../../train/rng.ts";
import { SftTrainer } from "../../train/sft_trainer.ts";
import { assertClose } from "../helpers/close.ts";
import {
  type ForwardGolden,
  golden,
  goldenTensors,
  GPT2,
  GPT_NEO,
  tensorsAsStored,
} from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";

const forward = await golden<ForwardGolden>("forward");
const { input_ids: inputIds } = forward;

const readConfig = async () => parseGpt2Config(await golden("config"), "config.json");

// Both sides round in float32 through three layers and sums over 512 logits: about 1e-5 in nats.
const NATS = { atol: 1e-4 };

for (const [name, folder] of Object.entries({ "GPT-2": GPT2, "GPT-Neo": GPT_NEO })) {
  const forward = await golden<ForwardGolden>("forward", folder);
  const { input_ids: inputIds, attention_mask: attentionMask } = forward;

  Deno.test(
    `${name}: logprobs() agrees with transformers on a left-padded batch`,
    () =>
      withGpu(async (gpu) => {
        using model = await loadCausalLM(gpu, folder);
        const scores = await model.logprobs({ inputIds, attentionMask });
        const masked = (rows: number[][]) =>
          rows.flatMap((row, b) => row.filter((_, t) => forward.token_mask[b][t] === 1));
        assertClose(masked(scores.logprobs), masked(forward.token_logprobs), NATS, "logprobs");
        assertClose(masked(scores.entropy), masked(forward.entropy), NATS, "entropy");
        assertEquals(scores.logprobs[2].slice(0, 5), [0, 0, 0, 0, 0]); // padding
      }),
  );

  Deno.test(
    `${name}: logits agree with transformers at every position`,
    () =>
      withGpu(async (gpu) => {
        using model = await loadCausalLM(gpu, folder);
        const batch = model.upload({ inputIds, attentionMask });
        const pass = gpu.record();
        const logits = model.head.logits(pass, model.forward(pass, batch));
        pass.submit();
        const V = logits.columnCount;
        const all = await gpu.read(logits);
        inputIds.forEach((row, b) => {
          const at = (t: number) => {
            const place = placeOf(batch, b, t);
            return all.subarray(place * V, (place + 1) * V);
          };
          assertClose(
            at(row.length - 1),
            forward.logits_last[b],
            { atol: 1e-4 },
            `logits of row ${b}`,
          );
          row.forEach((_, t) => {
            if (attentionMask[b][t] === 0) return;
            const sum = at(t).reduce((a, z) => a + z, 0);
            // The sum of 512 logits has the square root of 512 times the error of one.
            assertClose(
              [sum],
              [forward.logits_sum_per_position[b][t]],
              { atol: 2e-3 },
              `sum ${b} ${t}`,
            );
          });
        });
      }),
  );

  Deno.test(
    `${name}: gradients of log-probabilities and entropy agree with PyTorch`,
    () =>
      withGpu(async (gpu) => {
        const expected = await goldenTensors("gradients", folder);
        const weights = await golden<{ logprob_weight: number[][]; entropy_weight: number[][] }>(
          "gradients",
          folder,
        );
        using model = await loadCausalLM(gpu, folder, { train: true });
        const { arena, head } = model;
        const batch = model.upload({ inputIds, attentionMask });
        const { N } = batch;
        const spread = (rows: number[][]) =>
          // (B, T-1) -> (N), zero where nothing is predicted
          rows.flatMap((row, b) =>
            [...row.map((x, t) => x * forward.token_mask[b][t]), 0]
              .filter((_, t) => attentionMask[b][t] === 1)
          );
        const next = inputIds.map((row) => row.slice(1));
        const targets = upload(arena, "t", spread(next), "u32");
        const [logprobs, lse, entropy] = ["a", "b", "c"].map((name) => arena.take(name, [N]));
        const dentropy = spread(weights.entropy_weight);
        const rows = spread(weights.logprob_weight).flatMap((d, n) => [d, dentropy[n], 0, 0]);
        const tokenGradients = upload(arena, "d", rows, "f32");

        const pass = gpu.record();
        model.grads!.clear(pass);
        const hidden = model.forward(pass, batch, { train: true });
        const logits = head.logits(pass, hidden);
        tokenLogprobsForward(pass, { logits, targets, logprobs, lse, entropy }, { temperature: 1 });
        tokenLogprobsBackward(pass, { logits, targets, lse, entropy, tokenGradients }, {
          temperature: 1,
        });
        const dhidden = arena.take("dhidden", [N, model.config.nEmbd]);
        head.backward(pass, { dlogits: logits, hidden, dhidden });
        model.backward(pass, batch, dhidden);
        pass.submit();

        for (const [name, gradient] of await tensorsAsStored(gpu, model.grads!)) {
          const reference = expected.get(name)!;
          // Sums of about 100 terms in float32 on both sides: 1e-3 of the element, 1e-5 of the largest.
          const largest = reference.reduce((peak, g) => Math.max(peak, Math.abs(g)), 0);
          assertClose(gradient, reference, { atol: 2e-5 * Math.max(1, largest), rtol: 1e-3 }, name);
        }
      }),
  );

  Deno.test(
    `${name}: generate() takes the greedy tokens that transformers takes`,
    () =>
      withGpu(async (gpu) => {
        using model = await loadCausalLM(gpu, folder);
        const options = { maxNewTokens: 8, greedy: true, stop: [] };
        const { ids } = await model.generate(forward.prompt_ids, options);
        assertEquals(ids, forward.greedy_new_ids);
        for (const [b, prompt] of forward.prompt_ids.entries()) {
          const { ids: [alone] } = await model.generate([prompt], options);
          assertEquals(alone, forward.greedy_new_ids[b], `row ${b} by itself`);
        }
      }),
  );

  Deno.test(
    `${name}: generate() reports the log-probabilities that logprobs() computes`,
    () =>
      withGpu(async (gpu) => {
        using model = await loadCausalLM(gpu, folder);
        const [prompt] = forward.prompt_ids.slice(1);
        const options = { maxNewTokens: 20, temperature: 0.7, seed: 3, stop: [] };
        const { ids: [ids], logprobs: [sampled] } = await model.generate([prompt], options);
        const { logprobs: [all] } = await model.logprobs({
          inputIds: [[...prompt, ...ids]],
          temperature: 0.7,
        });
        assertClose(sampled, all.slice(prompt.length - 1), NATS);
      }),
  );

  Deno.test(`${name}: padding, on either side, changes nothing`, () =>
    withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, folder);
      const ids = forward.prompt_ids[1];
      const plain = await model.logprobs({ inputIds: [ids] });
      for (const [left, right] of [[1, 0], [0, 3], [7, 2]]) {
        const pad = (length: number, value: number) => Array<number>(length).fill(value);
        const padded = await model.logprobs({
          inputIds: [[...pad(left, 9), ...ids, ...pad(right, 11)]],
          attentionMask: [[...pad(left, 0), ...pad(ids.length, 1), ...pad(right, 0)]],
        });
        const shifted = padded.logprobs[0].slice(left, left + ids.length - 1);
        assertEquals(shifted, plain.logprobs[0], `padding ${left} and ${right}`);
      }
    }));
}

Deno.test("generate() repeats itself under one seed, not under another, whatever the batch", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2);
    const prompts = forward.prompt_ids.slice(0, 3);
    const run = async (seed: number) =>
      (await model.generate(prompts, { maxNewTokens: 18, seed, stop: [] })).ids;
    const first = await run(7);
    assertEquals(await run(7), first);
    assertEquals(JSON.stringify(await run(8)) === JSON.stringify(first), false);
    const { ids: [alone] } = await model.generate([prompts[0]], {
      maxNewTokens: 18,
      seed: 7,
      stop: [],
    });
    assertEquals(alone, first[0]);
  }));

Deno.test("generate() draws the same where the logits of all rows exceed a binding", async () => {
  const run = async (bindingBytes: number) => {
    let ids: number[][] = [];
    await withGpu(async (gpu) => {
      using model = await loadCausalLM(gpu, GPT2);
      const prompts = Array.from({ length: 150 }, (_, b) => [1 + b]);
      ({ ids } = await model.generate(prompts, { maxNewTokens: 3, stop: [] }));
    }, { bindingBytes });
    return ids;
  };
  // 150 rows of 512 logits have 307,200 bytes.
  assertEquals(await run(260_000), await run(Infinity));
});

Deno.test("generate() leaves finished rows out of later tokens, and draws for the others as before", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2);
    gpu.profiler = await Profiler.open(gpu);
    const prompts = Array.from(
      { length: 12 },
      (_, b) => Array.from({ length: 1 + b % 3 }, () => b),
    );
    const options = { maxNewTokens: 52, seed: 4 };
    const whole = await model.generate(prompts, { ...options, stop: [] });
    await gpu.profiler.collect();
    const stop = Array.from({ length: 16 }, (_, id) => 30 * id); // one token in 32
    const { ids, logprobs, stopped } = await model.generate(prompts, { ...options, stop });
    const lengths = whole.ids.map((row) =>
      1 + row.findIndex((id) => stop.includes(id)) || row.length
    );
    assertEquals(ids, whole.ids.map((row, b) => row.slice(0, lengths[b])));
    assertEquals(logprobs, whole.logprobs.map((row, b) => row.slice(0, lengths[b])));
    assertEquals(stopped, ids.map((row) => stop.includes(row.at(-1)!)));

    const drawn = (await gpu.profiler.collect())
      .filter(({ kernel }) => kernel === "sample")
      .map(({ shape }) => Number(/^\((\d+),/.exec(shape)![1]));
    // So many go on after 16, 32 and 48 tokens: quarters of those before that hold all which have not finished.
    const openAfter = (done: number) => lengths.filter((length) => length > done).length;
    assertEquals([16, 32, 48].map(openAfter), [9, 3, 3]);
    assertEquals([0, 16, 32, 48].map((done) => drawn[done]), [12, 9, 3, 3]);
  }));

Deno.test("generate() stops a row at its stop token, and not before minNewTokens", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2);
    const greedy = { maxNewTokens: 8, greedy: true };
    const stop = [forward.greedy_new_ids[0][2]];
    const first = forward.greedy_new_ids[0].indexOf(stop[0]);
    const prompts = [forward.prompt_ids[0]];
    const stopped = await model.generate(prompts, { ...greedy, stop });
    assertEquals(stopped.ids[0], forward.greedy_new_ids[0].slice(0, first + 1));
    assertEquals(stopped.stopped, [true]);
    const longer = await model.generate(prompts, { ...greedy, stop, minNewTokens: 8 });
    assertEquals(longer.ids[0].length, 8);
    assertEquals(longer.ids[0].slice(0, 7).includes(stop[0]), false);
  }));

Deno.test("a vocabulary larger than one binding is taken in shards: same numbers, same gradients", async () => {
  const results = [Infinity, 512 * 1024].map(async (bindingBytes) => {
    let found: { logprobs: number[]; ids: number[][]; dwte: Float32Array } | undefined;
    await withGpu(async (gpu) => {
      const base = await readConfig();
      const config = { ...base, vocabSize: 2048, nEmbd: 96 }; // wte has 768 KiB
      const rng = new Rng(5);
      const tokenizer = await readTokenizer(GPT2);
      using model = initCausalLM(gpu, { config, tokenizer, normal: () => rng.normal() });
      const { logprobs: [logprobs] } = await model.logprobs({ inputIds: [inputIds[0]] });
      const options = { maxNewTokens: 4, greedy: true, stop: [] };
      const { ids } = await model.generate([forward.prompt_ids[0]], options);
      using trainer = new SftTrainer(model, { learningRate: () => 0 });
      await trainer.step({ inputIds: [inputIds[0]] });
      found = { logprobs, ids, dwte: await gpu.read(model.grads!.get("wte.weight").rows(0, 512)) };
    }, { bindingBytes });
    return found!;
  });
  const [whole, sharded] = await Promise.all(results);
  assertClose(sharded.logprobs, whole.logprobs, { atol: 1e-5 }); // sums over shards round otherwise
  assertEquals(sharded.ids, whole.ids);
  assertClose(sharded.dwte, whole.dwte, { atol: 1e-6, rtol: 1e-4 });
});

Deno.test("generate() refuses empty prompts and prompts that do not fit the context", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2);
    const refuse = (prompts: number[][] | string[], maxNewTokens: number, part: string) =>
      assertRejects(() => model.generate(prompts, { maxNewTokens }), TokenRowsError, part);
    await refuse([], 4, "there are no prompts");
    await refuse([[1], []], 4, "prompt 1 is empty");
    await refuse([""], 4, "prompt 0 is empty");
    await refuse([Array(60).fill(5)], 5, "context holds 64");
    await refuse([[1, 2]], 0, "at least 1");
    await refuse([[512]], 4, "outside the vocabulary");
  }));

Deno.test("generate() refuses options that no distribution has", () =>
  withGpu(async (gpu) => {
    using model = await loadCausalLM(gpu, GPT2);
    for (const option of [{ temperature: 0 }, { topP: 2 }, { topK: 1.5 }, { seed: 2 ** 32 }]) {
      await assertRejects(
        () => model.generate([[1]], { maxNewTokens: 1, ...option }),
        RangeError,
        `Cannot generate with ${Object.keys(option)[0]}`,
      );
    }
  }));
