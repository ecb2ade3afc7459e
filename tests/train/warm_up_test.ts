import { assertEquals, assertStringIncludes } from "@std/assert";
import { parseCausalLMConfig } from "../../model/causal_lm_config.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { warmUp } from "../../train/warm_up.ts";
import { readModelConfig } from "../../weights/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { testScreen } from "../helpers/screen.ts";

/** Alike in length: few rows of other lengths are computed by other kernels. */
const PROMPTS = Array<string>(2).fill("The movie was good and the film");

Deno.test("warmUp() compiles all that evaluation and training use, and counts it on a bar", () =>
  withGpu(async (gpu) => {
    using trainer = await PpoTrainer.create({
      ...{ model: GPT2, reward: "heuristic", gpu, steps: 1, batchSize: 4, miniBatchSize: 2 },
      ...{ maxNewTokens: 6, evalResponses: 2 },
    });
    const lengths = PROMPTS.map((prompt) => trainer.policy.tokenizer.encode(prompt).length);
    const range = { shortest: Math.min(...lengths), longest: Math.max(...lengths) };
    const { screen, written, clock } = testScreen({ isLive: true });
    screen.target.now = () => clock.time += 100; // every update is drawn
    await warmUp(gpu, {
      model: parseCausalLMConfig(await readModelConfig(GPT2), GPT2),
      rewards: [],
      settings: trainer.config,
      limits: { bindingBytes: gpu.bindingBytes, bufferBytes: gpu.device.limits.maxBufferSize },
      promptTokens: { training: range, evaluation: range },
    }, screen);
    const { pipelines } = gpu.counts;
    assertStringIncludes(
      written.at(-2)!,
      `[====================] ${pipelines}/${pipelines} kernels`,
    );

    await trainer.evaluate(PROMPTS, { responses: 2 });
    await trainer.train({ prompts: PROMPTS });
    assertEquals(gpu.counts.pipelines, pipelines);
  }));
