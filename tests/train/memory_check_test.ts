import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { parseCausalLMConfig } from "../../model/causal_lm_config.ts";
import type { TrainConfig } from "../../train/config.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { checkMemory, expectFit, MemoryPlanError } from "../../train/memory_check.ts";
import { planMemory } from "../../train/plan.ts";
import { readModelConfig } from "../../weights/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";

const model = parseCausalLMConfig(await readModelConfig(GPT2), GPT2);
/** A run of the tiny GPT-2 on any adapter; it takes 8.6 MB, of which 2.3 MB are parameters, gradients and moments. */
function inputs(flags: Partial<TrainConfig> = {}, limits = {}) {
  const given = { model: "tiny", batchSize: 8, miniBatchSize: 8, maxLength: 32, evalResponses: 0 };
  return {
    model,
    rewards: [],
    settings: resolveConfig({ flags: { ...given, ...flags } }),
    limits: { bindingBytes: 2 ** 27, bufferBytes: 2 ** 28, ...limits },
    promptTokens: {
      training: { shortest: 2, longest: 4 },
      evaluation: { shortest: 3, longest: 4 },
    },
  };
}

Deno.test("checkMemory() finds nothing wrong with a run that fits", async () => {
  const { peakBytes } = await planMemory(inputs());
  for (const memoryBudget of ["", `${peakBytes}`]) {
    const { plan, problem, remedies } = await checkMemory(inputs({ memoryBudget }));
    assertEquals([plan?.peakBytes, problem, remedies], [peakBytes, undefined, []]);
  }
});

Deno.test("the parts of a plan make up its peak", async () => {
  const { parts, peakBytes } = await planMemory(inputs());
  assertEquals(parts.reduce((sum, { bytes }) => sum + bytes, 0), peakBytes);
  const other = parts.find(({ name }) => name === "other")?.bytes ?? 0;
  assert(other < 0.05 * peakBytes, `${other} of ${peakBytes} bytes are not explained`);
});

Deno.test("checkMemory() names settings each of which makes the run fit", async () => {
  const { peakBytes } = await planMemory(inputs({ evalResponses: 40 }));
  const budget = 0.8 * peakBytes;
  const tight = inputs({ evalResponses: 40, memoryBudget: `${Math.floor(budget)}` });
  const { plan, problem, remedies } = await checkMemory(tight);
  assertEquals(plan?.peakBytes, peakBytes);
  assertMatch(problem!, /^it takes \d+ MiB of GPU memory, and memoryBudget allows \d+ MiB$/);
  const names = remedies.map(({ settings }) => Object.keys(settings)[0]);
  assertEquals(names, ["evalResponses", "maxLength"]);
  for (const { settings, peakBytes: promised } of remedies) {
    const better = { ...tight, settings: { ...tight.settings, ...settings } as TrainConfig };
    assertEquals((await planMemory(better)).peakBytes, promised);
    assert(promised <= budget);
  }
});

Deno.test("checkMemory() takes the mildest change, and several where one is not enough", async () => {
  const [mild] = (await checkMemory(inputs({ memoryBudget: "7.5MB" }))).remedies;
  assertEquals(mild!.settings, { gradientAccumulation: 2 });

  const [together, ...others] = (await checkMemory(inputs({ memoryBudget: "1.6MB" }))).remedies;
  assertEquals(others, []);
  assertEquals(together!.settings, {
    gradientAccumulation: 8,
    referenceDtype: "f16",
    maxLength: 8,
    freezeLayers: 2,
    loraRank: 8,
  });
});

Deno.test("expectFit() says what a run takes and what to do, in one sentence", async () => {
  await expectFit("tiny", inputs());
  const tight = expectFit("tiny", inputs({ memoryBudget: "6.5MB" }));
  const { message } = await assertRejects(() => tight, MemoryPlanError);
  assertMatch(
    message,
    /^Cannot train tiny: it takes \d+ MiB .* 6 MiB; use one of --gradient-accumulation \d+ \(.*\), /,
  );
  const hopeless = expectFit("tiny", inputs({ memoryBudget: "0.7MB" }));
  await assertRejects(
    () => hopeless,
    MemoryPlanError,
    "; no settings change that; choose a smaller model",
  );
});

Deno.test("checkMemory() knows the limits of the adapter", async () => {
  const { plan, problem, remedies } = await checkMemory(inputs({}, { bindingBytes: 2 ** 17 }));
  assertEquals(plan, undefined);
  assertMatch(problem!, /^it exceeds the adapter's limits \(.* has \d+ bytes, .* 131072\)$/);
  assert(remedies.length > 0);
});
